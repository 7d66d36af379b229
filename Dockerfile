# The service on its embedded store. The wheel is built in one stage and installed, by the lock, in the other.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock ./
RUN python -m venv /opt/logsvc \
 && /opt/logsvc/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY logsvc logsvc
COPY collectors collectors
COPY dashboards dashboards
RUN /opt/logsvc/bin/python -m hatchling build -t wheel -d dist \
 && /opt/logsvc/bin/pip install --no-cache-dir --no-deps dist/*.whl

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 8600 --home-dir /var/lib/logsvc --create-home logsvc \
 && install -d -o logsvc -g logsvc -m 0700 /var/lib/logsvc/data
COPY --from=build /opt/logsvc /opt/logsvc
ENV PATH=/opt/logsvc/bin:$PATH PYTHONUNBUFFERED=1
USER logsvc
VOLUME /var/lib/logsvc/data
EXPOSE 8600
# All addresses of the container, which is allowed because authentication is on: the first token is printed at start.
# Which of them the host offers is decided where the port is published.
CMD ["logsvc", "serve", "--host", "0.0.0.0", "--port", "8600", "--data-dir", "/var/lib/logsvc/data"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8600/healthz', timeout=2)"]
STOPSIGNAL SIGTERM
