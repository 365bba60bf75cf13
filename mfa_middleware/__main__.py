"""``python -m mfa_middleware`` is ``mfa``."""

from mfa_middleware.cli import main

main()
