"""The serial line: bytes, frames and their contents (docs/protocol.md)."""
