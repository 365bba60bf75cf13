"""A Django project that signs in with `django.contrib.auth`, and knows nothing of a second factor.

export DJANGO_SETTINGS_MODULE=examples.django_auth.settings
python -m django migrate
python -m django createsuperuser --username alice --email alice@example.com
uvicorn examples.django_auth.wrapped:application
"""
