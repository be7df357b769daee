# The emulator in a container. It listens on all of the container's addresses: publish the port on loopback only.
FROM python:3.13-slim
COPY . /src
# Airflow is not needed to serve: the package comes without its dependencies, the emulator's are named in its extra.
RUN pip install --no-cache-dir --no-deps /src \
    && python -c "import tomllib; print(*tomllib.load(open('/src/pyproject.toml', 'rb'))['project']['optional-dependencies']['emulator'], sep='\n')" > /tmp/extra.txt \
    && pip install --no-cache-dir -r /tmp/extra.txt httpx \
    && rm -r /src /tmp/extra.txt
RUN useradd --create-home emulator
USER emulator
EXPOSE 8799
ENTRYPOINT ["python", "-m", "airflow_provider_llamabatch.emulator", "--host", "0.0.0.0", "--port", "8799"]
