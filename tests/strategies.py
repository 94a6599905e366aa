from datetime import date

from hypothesis import strategies as st

from feedsrv.paper import Paper


@st.composite
def papers(draw):
    return Paper(
        id=f"2611.{draw(st.integers(0, 99999)):05d}",
        title=draw(st.text(min_size=1)).strip() or "x",
        abstract="",
        submitted=date(2026, 1, 1),
    )
