"""
Each endpoint as a value: what to send, what comes back, and whether it may be sent twice.

Nothing is sent here, and no file is opened; of one to upload that is given by its path, the size is looked up.
Paths, parameters and bodies are those of the official Python client ``llama-cloud`` 2.19.0.
A call is sent with ``LlamaBatchHook.send`` (``asend``); a list of pages is walked with ``iterate`` (``aiterate``).
Every id is checked before it enters a path. ``page_size`` and the other options are left to the service unless given;
``project_id`` and ``organization_id`` are the connection's unless given.
"""

from airflow_provider_llamabatch.llamacloud.calls.batches import (
    cancel_batch,
    create_batch,
    get_batch,
    get_batch_status,
    list_batch_statuses,
    list_batches,
    list_directory_batches,
    webhook_secrets,
)
from airflow_provider_llamabatch.llamacloud.calls.configurations import (
    create_configuration,
    delete_configuration,
    get_configuration,
    is_preset,
    list_configurations,
)
from airflow_provider_llamabatch.llamacloud.calls.directories import (
    create_directory,
    delete_directory,
    get_directory,
    list_directories,
    update_directory,
)
from airflow_provider_llamabatch.llamacloud.calls.files import (
    add_directory_file,
    bulk_delete_directory_files,
    delete_directory_file,
    get_directory_file,
    list_directory_files,
    update_directory_file,
    upload_directory_file,
)
from airflow_provider_llamabatch.llamacloud.calls.jobs import (
    cancel_extract_job,
    cancel_parse_job,
    delete_extract_job,
    delete_parse_job,
    get_extract_job,
    get_extract_job_status,
    get_parse_job,
    get_parse_job_status,
    list_extract_job_statuses,
    list_extract_jobs,
    list_parse_job_statuses,
    list_parse_jobs,
)
from airflow_provider_llamabatch.llamacloud.calls.projects import list_projects

__all__ = [
    "add_directory_file",
    "bulk_delete_directory_files",
    "cancel_batch",
    "cancel_extract_job",
    "cancel_parse_job",
    "create_batch",
    "create_configuration",
    "create_directory",
    "delete_configuration",
    "delete_directory",
    "delete_directory_file",
    "delete_extract_job",
    "delete_parse_job",
    "get_batch",
    "get_batch_status",
    "get_configuration",
    "get_directory",
    "get_directory_file",
    "get_extract_job",
    "get_extract_job_status",
    "get_parse_job",
    "get_parse_job_status",
    "is_preset",
    "list_batch_statuses",
    "list_batches",
    "list_configurations",
    "list_directories",
    "list_directory_batches",
    "list_directory_files",
    "list_extract_job_statuses",
    "list_extract_jobs",
    "list_parse_job_statuses",
    "list_parse_jobs",
    "list_projects",
    "update_directory",
    "update_directory_file",
    "upload_directory_file",
    "webhook_secrets",
]
