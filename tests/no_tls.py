"""For clients of servers on this machine, which speak plain HTTP.

Each ``httpx.Client`` would load the certificates of all authorities: longer than most tests run.
"""

from __future__ import annotations

import ssl

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it trusts nobody
