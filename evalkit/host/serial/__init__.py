"""Links to a board and the conversation over one."""
