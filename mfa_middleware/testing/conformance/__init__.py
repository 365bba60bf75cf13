"""The conformance kit: attacks on an app of yours and the second factor around it, as pytest tests to inherit."""

from mfa_middleware.testing.conformance.attacks import Conformance, ConformanceWarning
from mfa_middleware.testing.conformance.client import Client, Response
from mfa_middleware.testing.conformance.kit import served
from mfa_middleware.testing.conformance.login import Login, Steps
from mfa_middleware.testing.conformance.stage import Key

__all__ = ["Client", "Conformance", "ConformanceWarning", "Key", "Login", "Response", "Steps", "served"]
