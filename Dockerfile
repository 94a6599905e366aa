# feedsrv in a container: docker build -t feedsrv . && docker run -p 8000:8000 -v feedsrv:/var/lib/feedsrv feedsrv

FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/feedsrv
# Dependencies first, because they change less often than the code.
COPY requirements.txt ./
RUN /opt/feedsrv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY feedsrv feedsrv
# EXTRAS=redis for a store shared by several servers.
ARG EXTRAS=""
RUN /opt/feedsrv/bin/pip install --no-cache-dir ".${EXTRAS:+[$EXTRAS]}"

FROM python:3.13-slim
COPY --from=build /opt/feedsrv /opt/feedsrv
COPY config/feedsrv.toml /etc/feedsrv/feedsrv.toml
# A new volume gets the owner of this directory.
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/feedsrv
ENV PATH=/opt/feedsrv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    FEEDSRV_CONFIG=/etc/feedsrv/feedsrv.toml \
    FEEDSRV_CACHE_DIR=/var/lib/feedsrv \
    PORT=8000
USER 10001:10001
VOLUME /var/lib/feedsrv
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD python -c "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=4)"
# Exec form, so that signals reach the server and it finishes requests in progress.
CMD ["feedsrv", "serve", "--host", "0.0.0.0"]
