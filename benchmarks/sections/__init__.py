"""The sections of the report: each measures one thing (``measure``) and tells of it (``render``, ``charts``)."""
