"""Every number that a user or the operator of a deployment might ask about. Seconds unless a name says otherwise."""

from __future__ import annotations

# Waiting
POLL_INTERVAL = 30.0  # the official example polls every 10 s; batches take minutes to hours
MIN_POLL_INTERVAL = 1.0  # a task that asks for less gets this
WAIT_TIMEOUT = 24 * 3600.0  # batches take minutes to hours
MISSING_GRACE = 300.0  # a batch that was just made may not be readable yet

# Requests
REQUEST_TIMEOUT = 60.0  # one request as a whole, connecting and reading included
CONNECT_TIMEOUT = 10.0
MAX_ATTEMPTS = 6  # how often one request is sent in all
MAX_RETRY_SECONDS = 120.0  # from the first attempt of a request to the last
MAX_RESPONSE_BYTES = 64 * 1024 * 1024  # as sent, and again after decompression
MAX_PAGES = 1000  # pages of one list
MAX_MESSAGE_CHARACTERS = 1000  # of what the service says, in messages, events, XComs and logs

# Lists
PAGE_SIZE = 100  # batches per list page; a larger size is refused by some endpoints

# Submissions
MAX_LIST_LAG = 60.0  # a batch that the list still does not show this long after its POST counts as not made
MAX_CREATE_ATTEMPTS = 3  # POSTs of one try whose outcome stays unknown, each sent only after that time
MAX_INTENT_AGE = 30.0  # an intent that is older at its POST is not acted on: the process may have stood still
RETRY_SETTLE_SECONDS = (
    5.0  # a later try waits this long after its intent, for an earlier try that may still be alive
)
CONFIRM_SECONDS = 5.0  # between two responses that must agree before a batch counts as gone
LISTED_SECONDS = (
    3600.0  # how far back a directory's batches are listed: the largest clock difference tolerated
)
CREATED_AT_SPREAD = 10.0  # by how much the service's own times of creation may be out of order
RUN_START_MARGIN = 300.0  # Airflow below 3.3: a batch may seem this much older than the run that made it
