"""What a keyword costs that nobody asked for yet, with the window in the store and upstream untouched.

    .venv/bin/python bench/cold.py [--requests 200]

1,500 invented papers of thirty list days. Each request is for another word, through the front and
the routes, and is answered with fifty entries or as many as there are. *In memory* is a server that
was asked before; *from the store* is one whose memory is empty: a new process each time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any

from keywords import BEGIN, DAYS, Clock, papers, poll, queries

from feedsrv.config import Config
from feedsrv.front import Front
from feedsrv.service import Service
from feedsrv.web import create_app
