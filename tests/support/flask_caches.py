"""Compiled templates and URL rules, shared by the applications of a test process."""

from collections.abc import Callable
from types import CodeType
from typing import Any, ClassVar

from flask.sansio.app import App
from flask.templating import Environment
from jinja2.bccache import Bucket, BytecodeCache
from werkzeug.routing import Rule


class _TemplateCache(BytecodeCache):
    _compiled: ClassVar[dict[str, CodeType | None]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._compiled.get(bucket.key)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._compiled[bucket.key] = bucket.code


class CachingEnvironment(Environment):
    """A Jinja environment that compiles each template once, not once an application."""

    def __init__(self, app: App, **options: Any) -> None:
        super().__init__(app, bytecode_cache=_TemplateCache(), **options)


class CachingRule(Rule):
    """A URL rule that compiles the functions that build its URLs once, not once an application."""

    _compiled: ClassVar[dict[object, Callable[..., tuple[str, str]]]] = {}

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        key = (self.rule, repr(self.defaults), append_unknown)
        if key not in self._compiled:
            self._compiled[key] = super()._compile_builder(append_unknown)
        return self._compiled[key]
