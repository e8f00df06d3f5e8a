"""`python -m deploy`: the server of `moto_server`, whose classes moto wants in a module of a package."""

from .moto_server import main

main()
