"""The verbs that live in the front door itself."""
