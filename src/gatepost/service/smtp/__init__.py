"""The SMTP services: what happens to a message between the wire and the queue."""
