"""What a job leaves behind: signed statements, a report anyone can re-check, and its views."""
