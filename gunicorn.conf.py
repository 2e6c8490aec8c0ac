"""Settings that gunicorn reads when it starts in this folder: for `make run`, in the image, or by hand."""

from pathlib import Path

# web/server.py says why.
worker_class = "web.server.BufferedWorker"
threads = 8
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a heartbeat that a busy disk does not delay
