"""Those of the Django example, with a password hasher that is quick: the attacks log in a hundred times."""

from examples.django_auth.settings import *  # noqa: F403  settings are made so

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
