"""Conversations with a model: turns, saved chats, settings. No terminal is in it."""
