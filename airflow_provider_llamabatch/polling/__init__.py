"""The shared poll loop: when to ask for what (pure), and one asyncio loop per connection that does it."""
