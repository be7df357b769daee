"""The numbers of the page. Seconds unless a name says otherwise."""

from __future__ import annotations

REFRESH = 15.0  # how old batches and files may be before they are read again, and how often an open page asks
SLOW_REFRESH = 120.0  # the same for what hardly changes: directories, the files of one, what has ended
MAX_REFRESH = 300.0  # after trouble the pauses double up to this
RESULT_REFRESH = 600.0  # a result does not change
FIRST_WAIT = 0.7  # how long a page waits for what nobody has read yet, before it says that it is being read
WAIT = 0.25  # the same where there are data to show, though old
REQUEST = 30.0  # one request to LlamaCloud

DAYS = 30  # how far back batches and DAG runs are shown
MAX_BATCHES = 5000  # read of one connection
FULL_READ = 1800.0  # how often all batches are read again; between, only those since the oldest that runs
LONG = 6 * 3600.0  # batches that were made longer before the newest one are read again only with all
OVERLAP = 600.0  # how far a read reaches back before the newest batch
MAX_DIRECTORIES = 1000
MAX_FILES = 5000  # of one directory
MAX_XCOMS = 20_000  # read at once
XCOM_LAG = 60.0  # from a submission to its XCom at most, where nothing goes wrong
MAX_KEPT = 64  # batches, directories and results kept in the process, each
THREADS = 4

ROWS = 100  # of a table, on one page
MAX_RESULT_BYTES = 4 * 1024 * 1024
MAX_LINES = 40  # of a result
MAX_LINE_CHARACTERS = 400
MAX_SEARCH_CHARACTERS = 200
TOKEN_SECONDS = 12 * 3600  # how long a page that lies open can still act
