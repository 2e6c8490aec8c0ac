"""Serve the demo's OpenID provider on the port that is the only argument, on the loopback interface."""

import logging
import os
import sys

import uvicorn

from devserver.supervisor.ports import HOST
from devserver.supervisor.provider import provider

if __name__ == "__main__":
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # it is http, as everything here
    logging.basicConfig(level=logging.INFO)
    uvicorn.run(provider(), interface="wsgi", host=HOST, port=int(sys.argv[1]), log_config=None)
