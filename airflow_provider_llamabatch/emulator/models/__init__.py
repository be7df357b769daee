"""The shapes of requests and answers, as pydantic models."""
