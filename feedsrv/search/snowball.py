"""The English stemmer of snowballstemmer, without the thirty other languages.

Importing the library loads the tables of them all: three of the fifty megabytes that an idle server
takes. So its folder stands here as a package under another name, which loads nothing by itself.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec

_NAME = "_snowball_languages"


def english(word: str) -> str:
    """Return the word's English stem."""
    # A stemmer holds the word it works on, so each call has its own: threads share this function.
    return str(_Stemmer().stemWord(word))


def _languages() -> str:
    """Return the name of a package that has each language as a module."""
    library = find_spec("snowballstemmer")
    if library is None:
        raise ModuleNotFoundError("No module named 'snowballstemmer'", name="snowballstemmer")
    spec = ModuleSpec(_NAME, None, is_package=True)
    spec.submodule_search_locations = library.submodule_search_locations
    return sys.modules.setdefault(_NAME, module_from_spec(spec)).__name__


_Stemmer = import_module(f"{_languages()}.english_stemmer").EnglishStemmer
