"""Chats and engines with the built-in model: see tests/chat/chat_fixtures.py and engines.py."""

from chat_fixtures import chat, new_chat, own_folders, sessions
from engines import engine, here, shared

__all__ = ["chat", "engine", "here", "new_chat", "own_folders", "sessions", "shared"]
