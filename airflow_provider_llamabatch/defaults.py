"""Every number that a user or the operator of a deployment might ask about. Seconds unless a name says otherwise."""

from __future__ import annotations

# Waiting
POLL_INTERVAL = 30.0  # the official example polls every 10 s; batches take minutes to hours
MIN_POLL_INTERVAL = 1.0  # a task that asks for less gets this
WAIT_TIMEOUT = 24 * 3600.0  # batches take minutes to hours
MAX_SECONDS = 10 * 365 * 24 * 3600.0  # of timeouts and intervals; dates and clocks have an end
MISSING_GRACE = 300.0  # a batch that was just submitted may not be readable yet
UNKNOWN_GRACE = 20.0  # the same for an id that came from elsewhere: a wrong one is found out soon
RESULTS_GRACE = 600.0  # how long the results of a COMPLETED batch may still be null
# How long what is missing of single files is asked for again: jobs that cannot be read, entries of a COMPLETED batch
# with neither a job nor an error.
UNREAD_GRACE = 60.0
FIRST_POLL_AFTER = 10.0  # a task resumed sooner after its deferral can be marked failed by the scheduler
BACKSTOP = 120.0  # how far Airflow's own timeout lies behind the deadline, besides two polls

# Watching directories
WATCH_INTERVAL = 60.0  # between two looks; one look serves all watchers of a triggerer and connection
WATCH_LOOKBACK = 7 * 24 * 3600.0  # a batch that runs for longer than this raises no event
EVENT_SETTLE = (
    5.0  # after an event, for Airflow to store it and to make the runs it is for, before the next one
)

# Requests
REQUEST_TIMEOUT = 60.0  # one request as a whole, connecting and reading included
CONNECT_TIMEOUT = 10.0
MAX_ATTEMPTS = 6  # how often one request is sent in all
MIN_REQUESTS_PER_MINUTE = (
    4.0  # what the connection may ask for; a submission's requests must follow each other soon
)
MAX_RETRY_SECONDS = 120.0  # from the first attempt of a request to the last
MAX_RESPONSE_BYTES = 64 * 1024 * 1024  # as sent, and again after decompression
MAX_PAGES = 1000  # pages of one list
MAX_MESSAGE_CHARACTERS = 1000  # of what the service says, in messages, events, XComs and logs

# Polls
MIN_REQUEST_SECONDS = 1.0  # what a request of a worker's wait is given at the deadline all the same
CANCEL_TIMEOUT = (
    8.0  # cancelling at a deadline or when killed, as a whole: Airflow may end the task soon after
)
POLL_TIMEOUT = 20.0  # one poll as a whole; a batch that is not answered for is asked for again

# Lists
PAGE_SIZE = 100  # batches per list page
MAX_PAGE_SIZE = 1000  # the same where so many wait; undocumented, so left out once it was refused

# Bounds on what a server may send
MAX_TIMEOUT_SECONDS = 3600.0  # what the connection may ask for
MAX_HEAD_BYTES = (
    192 * 1024
)  # read before a response's status and headers; what is read may hold its body as well
MAX_ERROR_BYTES = 128 * 1024  # of an error's body; the rest is not read
SMALL_CHUNK_BYTES = 512  # a shorter chunk of a body costs more than what is in it
MAX_SMALL_CHUNKS = 20_000  # of such chunks in one body
MAX_STATUS_BYTES = 1024 * 1024  # of one batch or parse job read only for its status
MAX_EXTRACT_STATUS_BYTES = 16 * 1024 * 1024  # the same of an extract job: its result comes along
MAX_STATUS_PAGE_BYTES = 8 * 1024 * 1024  # of a list page read only for ids and statuses
MAX_PAGE_ITEMS = 10_000
MAX_LIST_ITEMS = 1_000_000  # items of one list
MAX_LIST_SECONDS = 3600.0  # walking one list
MAX_STATUS_CHARACTERS = 64
MAX_NAME_CHARACTERS = 1000  # of ids that are only passed on, and of names
MAX_METADATA_CHARACTERS = 64_000  # of metadata, and of fields that this version does not know, per object
UPLOAD_BYTES_PER_SECOND = 256 * 1024  # a file gets this much longer than REQUEST_TIMEOUT to be sent
DOWNLOAD_BYTES_PER_SECOND = 64 * 1024  # the same for what comes from a presigned URL; several share the line
CONN_TYPE = "llamabatch"  # of the Airflow connections that hold a key
CONNECTION_TIMEOUT = 30.0  # looking up the Airflow connection
HEALTH_TIMEOUT = 2.0  # asking Airflow's API server whether a triggerer is alive

# The service's own limits
JOB_TYPES = ("parse_v2", "extract_v2")  # what a batch can run for each file
DIRECTORY_TYPES = ("ephemeral", "user")  # cleaned up by LlamaCloud, or kept
MAX_WEBHOOK_IDS = 4  # webhook configurations by id of one batch
MAX_BULK_DELETE = 100  # files of a directory deleted by one request
MAX_FIELD_ERRORS = 10  # of a refused request, in its message

# The client
MAX_CONNECTIONS = 64  # per client: more than its requests under way, so that none waits in the pool
KEEPALIVE_SECONDS = 300.0  # longer than the gap between two polls, so that a wait keeps its one connection
MAX_BYTES_ON_LOOP = 256 * 1024  # a larger body is parsed on a thread, not on the event loop
UPLOAD_CHUNK_BYTES = 256 * 1024
CLOSE_TIMEOUT = 5.0
MAX_ALLOWED_ATTEMPTS = 100  # what the connection may ask for

# Submissions
MAX_LIST_LAG = 60.0  # a batch that the list still does not show this long after its POST counts as not made
MAX_CREATE_ATTEMPTS = 3  # POSTs of one try whose outcome stays unknown, each sent only after that time
MAX_INTENT_AGE = 30.0  # an intent that is older at its POST is not acted on: the process may have stood still
RETRY_SETTLE_SECONDS = 5.0  # how long a later try waits after its intent, for an earlier one still alive
CONFIRM_SECONDS = 5.0  # between two responses that must agree before a batch counts as gone
LISTED_SECONDS = 3600.0  # how far back a directory is listed: the largest clock difference tolerated
MAX_DIRECTORY_SECONDS = 180.0  # walking the list of a directory's batches, of which there are few
CREATED_AT_SPREAD = 10.0  # by how much the service's own times of creation may be out of order
RUN_START_MARGIN = 300.0  # Airflow below 3.3: a batch may seem this much older than the run that made it

# Lineage
MAX_LINEAGE_JOBS = 100  # job references in one OpenLineage event; all of them are counted

# Documents
MAX_FILES_PER_DIRECTORY = 1000  # a batch takes the files of one directory, at most this many
MAX_CONCURRENCY = 8  # files under way at once, in uploads and in saves
MAX_FILE_BYTES = 512 * 1024 * 1024  # larger files are refused by LlamaCloud (for extraction above 100 MB)
SMALL_FILE_BYTES = 4 * 1024 * 1024  # held in memory; a larger file goes through one on disk
STORAGE_BLOCK_BYTES = 5 * 1024 * 1024  # read from or written to a storage at once; S3 takes no smaller parts
INLINE_RESULT_BYTES = 2 * 1024 * 1024  # a larger result is fetched through its presigned URL instead
ROWS_PER_CHECKPOINT = 50  # results saved between two checkpoints; a killed save fetches at most these again
PROGRESS_SHARE = 0.05  # of all files, between two lines of progress
PROGRESS_SECONDS = 30.0  # the longest silence of a task that makes progress
MAX_LISTED_FILES = 20  # files that one message names
MAX_LISTED_BEFORE = 10  # files that one message names of those that an earlier run has named already
MAX_KEPT_RESULTS = 10_000  # of documents that a source no longer has: an inbox has others every night
MAX_UPLOAD_ATTEMPTS = 3  # of one file or directory whose answers were lost and of which no trace was found
MIN_FAILURES_IN_A_ROW = 3  # documents, and no fewer than are under way at once, before a task gives up
LOOKUP_PAUSES = (0.0, 2.0, 5.0)  # before each look for what a lost answer may have made; lists may lag
RESULT_PAUSES = (1.0, 3.0, 8.0)  # before asking again for a completed job's result
MAX_DOWNLOAD_BYTES = 4 * 1024 * 1024 * 1024  # of one result behind a presigned URL
DOWNLOAD_ATTEMPTS = 3  # of one result, each with a new presigned URL
