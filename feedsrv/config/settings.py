"""All settings, with their types and defaults."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import platformdirs

from feedsrv.models import Feed
from feedsrv.network import NetworkSettings

HUGGING_FACE = "https://huggingface.co"


def default_cache_dir() -> Path:
    """Return the directory of this user's caches; raise RuntimeError for one without a home."""
    return Path(platformdirs.user_cache_dir("feedsrv", appauthor=False))


class StoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[store]``: a store shared by several machines."""

    #: URL of a Redis or Valkey server; empty for a store on disk.
    url: str = ""


class MailConfig(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"sender": "from"}
):
    """The table ``[mail]``: the mail server that sends digests."""

    #: Empty for no mail.
    host: str = ""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 587
    #: TLS after a greeting in plain text (587), from the start (465), or none.
    tls: Literal["starttls", "tls", "none"] = "starttls"
    #: Empty to send without a login.
    user: str = ""
    #: Address of the sender.
    sender: str = ""
    #: Seconds between two messages.
    pause: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 1.0
    #: Whether visitors can subscribe on the pages.
    sign_up: bool = False


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All settings."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
    #: Worker processes, and threads of each.
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    threads: Annotated[int, msgspec.Meta(ge=4, le=512)] = 32
    #: URL at which readers reach this server; empty to use each request's own host.
    public_url: str = ""
    #: Addresses or networks of proxies whose X-Forwarded-* headers are used.
    trusted_proxies: tuple[str, ...] = ()
    upstream_url: str = HUGGING_FACE
    cache_dir: Path = msgspec.field(default_factory=default_cache_dir)
    store: StoreConfig = StoreConfig()
    #: Mail address or page of the operator, for the User-Agent header.
    contact: str = ""
    #: Maximum seconds that a request waits for a page that was never fetched.
    deadline: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10.0
    #: Seconds between two requests to upstream, after a burst of four.
    spacing: Annotated[float, msgspec.Meta(ge=0, le=60)] = 1.0
    #: Number of list days that a keyword feed covers.
    history_days: Annotated[int, msgspec.Meta(ge=1, le=366)] = 30
    #: Whether to fetch which models, datasets and Spaces cite the papers of the configured feeds.
    linked_artefacts: bool = True
    #: Key that clients must send; empty for a public server.
    access_key: str = ""
    #: New keywords per hour for each client of a public server; 0 for no limit.
    new_keywords: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 120
    #: Maximum size in bytes of the stored records, mostly listings, that each process has in
    #: memory.
    memory_bytes: Annotated[int, msgspec.Meta(ge=0)] = 48_000_000
    #: Maximum size in bytes of each process's response cache.
    response_cache_bytes: Annotated[int, msgspec.Meta(ge=0)] = 8_000_000
    log_format: Literal["text", "json"] = "text"
    #: Log each request on standard output, in the combined log format.
    access_log: bool = False
    #: Hugging Face token; from the environment only.
    hf_token: str = ""
    mail: MailConfig = MailConfig()
    #: Password of the mail server; from the environment only.
    mail_password: str = ""
    #: More readers to offer on pages: name to subscription URL, with {url} for the feed's URL.
    readers: dict[str, str] = {}
    feeds: dict[str, Feed] = {}
    #: Proxy and certificates; from the environment only.
    network: NetworkSettings = NetworkSettings()
    #: Serve sample papers; from the command line only.
    demo: bool = False
    #: Render pages for static hosting; set by an export only.
    static_export: bool = False
