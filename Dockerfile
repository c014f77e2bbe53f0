FROM python:3.11-slim
WORKDIR /app
ENV PYTHONUNBUFFERED=1 PORT=8080
COPY requirements.txt ./
RUN python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt
COPY bot ./bot
COPY detectors ./detectors
COPY storage ./storage
COPY deploy ./deploy
RUN useradd --create-home clusterwatch && mkdir -p data out && chown clusterwatch data out
USER clusterwatch
# The database and its backups. Without a volume here they are gone with the container.
VOLUME ["/app/data"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-m", "bot.probe"]
CMD ["python", "-m", "bot", "--config", "deploy/live.toml"]
