"""What a plugin's author or an app needs to test with. It wants pytest."""

from mfa_middleware.testing.conformance import Conformance, ConformanceWarning, Login, Steps
from mfa_middleware.testing.factor_contract import FactorContract
from mfa_middleware.testing.virtual_authenticator import VirtualAuthenticator

__all__ = ["Conformance", "ConformanceWarning", "FactorContract", "Login", "Steps", "VirtualAuthenticator"]
