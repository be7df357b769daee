"""The routes of the page, a module per page. FastAPI reads their annotations, so their imports are at the top."""
