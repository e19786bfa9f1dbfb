"""POP3 service: sessions that read the maildrops of users."""
