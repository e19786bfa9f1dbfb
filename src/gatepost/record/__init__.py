"""Transcripts of sessions: versioned events, masked where they are taken, written within a budget, and read again."""
