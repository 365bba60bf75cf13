"""The factor is held to the contract of factors."""

from __future__ import annotations

import re
from email.message import EmailMessage

from mfa_mail_code import MailCode

from mfa_middleware.factor import Enrolment
from mfa_middleware.testing import FactorContract


class TestMailCode(FactorContract):
    """The mailer is a list."""

    def setup_method(self) -> None:
        self.sent: list[EmailMessage] = []

    def factor(self) -> MailCode:
        return MailCode(self.sent.append)

    def right_answer(self, enrolment: Enrolment, at: float) -> str:
        return "".join(re.findall(r"\d{8}", str(self.sent[-1].get_content())))
