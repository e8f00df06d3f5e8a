"""`python -m deploy`: starts `moto_server`, whose classes moto requires in a module of a package."""

from .moto_server import main

main()
