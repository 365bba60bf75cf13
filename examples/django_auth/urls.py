"""Django's own login and logout, a home page, and the view that the middleware asks."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.generic import TemplateView


def whoami(request: HttpRequest) -> JsonResponse:
    """Who is signed in; null for nobody."""
    return JsonResponse({"user": request.user.pk, "name": request.user.get_username()})


urlpatterns = [
    path("", TemplateView.as_view(template_name="home.html")),
    path("login/", LoginView.as_view()),
    path("logout/", LogoutView.as_view()),
    path("whoami", whoami),
]
