# syntax=docker/dockerfile:1
ARG NODE=24-bookworm-slim

FROM node:${NODE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM node:${NODE}
# The version is that of the base image's Debian release.
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install --yes --no-install-recommends tini \
  && rm -rf /var/lib/apt/lists/*
# A volume takes owner and mode from the image, so the spool can be written though the rest is read-only.
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin hourpack \
  && install --directory --owner=10001 --group=10001 --mode=0700 /spool
WORKDIR /app
COPY package.json README.md LICENSE ./
COPY bin ./bin
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
ENV NODE_ENV=production \
  HOURPACK_SPOOL_DIR=/spool \
  TMPDIR=/spool
# hourpack.yaml is looked for where the process starts.
WORKDIR /etc/hourpack
VOLUME ["/spool"]
USER 10001:10001
EXPOSE 9464
STOPSIGNAL SIGTERM
# For `worker`. `run` serves nothing, and has ended before anybody asks.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9464/healthz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["/usr/bin/tini", "--", "node", "/app/bin/hourpack.js"]
CMD ["worker"]
