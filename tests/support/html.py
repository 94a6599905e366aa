"""HTML pages, parsed."""

from bs4 import BeautifulSoup, Tag
from werkzeug.test import TestResponse

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


def parse_html(response: TestResponse, status: int = 200) -> BeautifulSoup:
    assert response.status_code == status
    assert response.content_type == "text/html; charset=utf-8"
    return BeautifulSoup(response.data, "lxml")


def text_of(tag: BeautifulSoup | Tag) -> str:
    return " ".join(tag.get_text().split())


def select_one(page: BeautifulSoup, selector: str) -> Tag:
    (tag,) = page.select(selector)
    return tag
