"""The parameters of Postfix that have no place here: those that need none, and those whose work is not done."""

from __future__ import annotations

import re
from typing import Final

from gatepost.config.importers.document import Document
from gatepost.config.importers.maincf import Parameters

_OBSOLETE: Final = re.compile(r"smtpd_tls_dh\w*_param_file|tls_(?:export|low)_cipherlist|smtpd?_tls_(?:eecdh_grade)")
_NEEDLESS: Final = re.compile(
    r"compatibility_level|(?:command|daemon|data|queue|html|manpage|sample|readme|shlib|meta|config)_directory|"
    r"mail_owner|setgid_group|(?:sendmail|newaliases|mailq)_path|debug_peer_level|debugger_command|biff|"
    r"smtpd?_tls_(?:loglevel|session_cache_database|session_cache_timeout|note_starttls_offer)|"
    r"lmtp_tls_\w+|smtpd_tls_received_header|tls_random_\w+|tls_preempt_cipherlist|tls_(?:medium|high|null)_cipherlist|"
    r"tls_ssl_options|tls_eecdh_\w+|tls_ffdhe_\w+|smtpd_helo_required|disable_vrfy_command|strict_rfc821_envelopes|"
    r"unknown_local_recipient_reject_code|smtpd_sasl_security_options|smtpd_sasl_tls_security_options|"
    r"smtp_tls_(?:connection_reuse|security_options)|smtputf8_enable|append_dot_mydomain|allow_percent_hack"
)
_REASONS: Final = (
    (r"alias_(?:maps|database)|virtual_alias_maps", "write the aliases into [aliases]"),
    (r"virtual_\w+|local_recipient_maps|mailbox_\w+|home_mailbox|local_transport|mail_spool_directory",
     "users are made with `gatepost user add`, and their mail is in Maildirs below `data`"),
    (r"relay_transport|default_transport|sender_dependent_\w+|fallback_relay|smtp_fallback_relay",
     "mail goes by [[route]], delivery.smarthost or MX, by the domain of the recipient alone"),
    (r"relay_recipient_maps",
     "the recipients of relay_domains are not known here: all are taken, and what their server refuses bounces"),
    (r"permit_mx_backup_networks", "name the domains in relay_domains"),
    (r"myorigin|masquerade_\w+|\w*canonical\w*|generic_maps|smtp_generic_maps|always_bcc|\w+_bcc_maps|recipient_delimiter",
     "gatepost rewrites and copies nothing; `user+tag` is delivered to `user`"),
    (r"smtpd_sasl_\w+|broken_sasl_auth_clients", "logins are gatepost's own accounts, on listeners for submission"),
    (r"smtp_sasl_\w+", "of logins at other servers there is delivery.smarthost_user"),
    (r"smtpd_\w*restrictions|smtpd_milters|non_smtpd_milters|milter_\w+|content_filter|\w+_checks|policyd?_\w+|postscreen_\w+",
     "there are no such filters in this version"),
    (r"smtp_tls_per_site", "it is obsolete in Postfix, too: write [[outbound]] rules"),
    (r"smtp_dns_support_level", "signed DNS is not looked at in this version"),
    (r"smtp_host_lookup|smtp_bind_address6?|smtp_helo_name|smtpd_banner|proxy_interfaces", "there is no such setting"),
)  # fmt: skip


def say_rest(document: Document, parameters: Parameters) -> None:
    """Name each parameter that nothing came of."""
    for name, parameter, mentioned in parameters.rest():
        place = parameter.place
        if _OBSOLETE.fullmatch(name):
            document.notice(place, f"{name} is obsolete, and not used: ephemeral keys need no file or grade any more")
        elif _NEEDLESS.fullmatch(name):
            document.outcome("", place, f"{name} needs no line here.")
        elif reason := next((text for pattern, text in _REASONS if re.fullmatch(pattern, name)), ""):
            document.notice(place, f"{name} is not taken over: {reason}")
        elif mentioned:
            document.outcome("", place, f"{name} is used by other settings.")
        else:
            document.notice(place, f"{name} is not known to this importer, and is not taken over")
