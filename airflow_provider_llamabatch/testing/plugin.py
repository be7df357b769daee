"""The pytest plugin. It does nothing until a test asks for one of its fixtures."""
