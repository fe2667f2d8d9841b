"""A chat with the built-in model: see tests/chat/chat_fixtures.py."""

from chat_fixtures import chat, new_chat, own_folders, sessions

__all__ = ["chat", "new_chat", "own_folders", "sessions"]
