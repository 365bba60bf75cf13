"""What is said where the SDKs cannot be had."""

from __future__ import annotations

import pytest

from tests.sdks.installing import SdksMissing, installed


def test_without_node_it_is_said_what_is_missing(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SdksMissing, match="no node and npm in PATH"):
        installed()
