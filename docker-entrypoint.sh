#!/bin/sh
# web, worker, beat and migrate are the parts of a deployment; anything else is a management command.
set -eu
case "${1:-web}" in
web)
    exec gunicorn studio.wsgi:application --bind 0.0.0.0:8000 \
        --workers "${WEB_WORKERS:-2}" --threads "${WEB_THREADS:-4}"
    ;;
worker) exec celery --app studio worker --loglevel INFO --concurrency "${WORKER_PROCESSES:-2}" ;;
beat) exec celery --app studio beat --loglevel INFO ;;
migrate) exec python manage.py migrate --noinput ;;
*) exec python manage.py "$@" ;;
esac
