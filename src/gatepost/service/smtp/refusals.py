"""What the service refuses with: one table, so that the words and codes of all refusals can be read in one place.

What every server of ours says at the end of a session stands in ``gatepost.smtp.conversation``.
"""

from __future__ import annotations

from typing import Final

from gatepost.wire.smtp.reply import Reply

TOO_MANY_HERE: Final = Reply(421, "4.3.2", "Too many connections, try again later")
TOO_MANY_FROM_YOU: Final = Reply(421, "4.7.0", "Too many connections from your address")
TOO_MANY_FROM_USER: Final = Reply(421, "4.7.0", "Too many connections of your account")
TOO_FAST: Final = Reply(421, "4.7.0", "Too many connections a minute from your address")
TOO_MANY_MESSAGES: Final = Reply(450, "4.7.1", "Too many messages a minute from your address")

NO_RELAY: Final = Reply(550, "5.7.1", "Relaying denied: that domain is not served here")
SENDER_REFUSED: Final = Reply(550, "5.7.1", "Mail from that sender is refused here")
NO_SUCH_USER: Final = Reply(550, "5.1.1", "No such user here")
BROKEN_ALIAS: Final = Reply(451, "4.3.5", "That address is misconfigured here, try again later")
NOT_YOUR_ADDRESS: Final = Reply(553, "5.7.1", "Sender address is not one of this login's")
NOT_YOUR_AUTHOR: Final = Reply(553, "5.7.1", "The From field holds an address that is not one of this login's")
UNREADABLE_FROM: Final = Reply(550, "5.6.0", "The From field cannot be read as addresses")
LOOPING: Final = Reply(554, "5.4.6", "Too many hops: this message goes in circles")

CANNOT_STORE: Final = Reply(452, "4.3.1", "Cannot store the message now, try again later")
CANNOT_LOOK_UP: Final = Reply(451, "4.3.0", "Cannot look that up now, try again later")

NO_CERTIFICATE: Final = Reply(554, "5.7.0", "A client certificate that we can verify is required here")
CERTIFICATE_UNCHECKED: Final = Reply(454, "4.7.0", "Your certificate cannot be checked for revocation now, try later")

LOGIN_FAILED: Final = Reply(535, "5.7.8", "Authentication credentials invalid")
LOGIN_MALFORMED: Final = Reply(501, "5.5.2", "The authentication response is malformed")
LOGIN_BUSY: Final = Reply(454, "4.7.0", "Temporary authentication failure, try again later")
TOO_MANY_LOGINS: Final = Reply(421, "4.7.0", "Too many failed logins")
