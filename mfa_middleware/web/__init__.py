"""The sub-app: the JSON API of users and admins, and the pages."""
