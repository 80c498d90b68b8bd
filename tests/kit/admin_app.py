"""Starlette with one path that is somebody's alone: what its routes make of a path is not what others make of it."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


def admin(request: Request) -> PlainTextResponse:
    return PlainTextResponse("canary")


def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("home")


app = Starlette(routes=[Route("/admin", admin), Route("/", home)])
