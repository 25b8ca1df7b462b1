# SPDX-License-Identifier: Apache-2.0
"""What is said in the yard: written by protogen from proto/*.def, so change those."""
from typing import Any, Literal, NotRequired, TypedDict

PROTOCOL = 1
MESSAGE_MAX = 1048576

# what a peer may do; the broker checks it per method
Role = Literal[
    "viewer",
    "operator",
    "worker",
    "admin",
]
ROLE_VIEWER = "viewer"
ROLE_OPERATOR = "operator"
ROLE_WORKER = "worker"
ROLE_ADMIN = "admin"

# how the broker finds a server for a method
Routing = Literal[
    "single",
    "pool",
    "placed",
    "broker",
]
ROUTING_SINGLE = "single"
ROUTING_POOL = "pool"
ROUTING_PLACED = "placed"
ROUTING_BROKER = "broker"

# an empty body
Nothing = TypedDict(
    "Nothing",
    {
        "unused": NotRequired[bool],  # never sent; a record has at least one field
    },
)

# one method that an actor serves
HelloMethod = TypedDict(
    "HelloMethod",
    {
        "name": str,  # service.method
        "routing": Routing,  # single, pool or placed
        "roles": list[Role],  # who may ask it
    },
)

# H: an actor presents itself; sent again after hello_first and after two silent seconds
Hello = TypedDict(
    "Hello",
    {
        "actor": str,  # recorder, downloader, loader, client …
        "place": str,  # stable name: recorder, loader/box7/host, client/<instance>
        "instance": str,  # fresh 128 bits per process, as hex digits
        "node": str,  # name of the machine
        "methods": list[HelloMethod],  # what it serves; none for a client
        "protocol": int,  # version of the envelope: 1
        "pid": NotRequired[int],  # its process id, for people
    },
)

# W: the broker's answer to a hello
Welcome = TypedDict(
    "Welcome",
    {
        "epoch": str,  # the broker's life, as hex digits; echoed in the meta of an actor's asks
        "number": int,  # of the last event of this epoch
        "protocol": int,  # version of the envelope
        "ping_ms": int,  # how often the broker pings
        "moved": NotRequired[bool],  # you were here on another connection: what was open on that one has ended, answers to it are lost
    },
)

# fourth frame of an ask
Meta = TypedDict(
    "Meta",
    {
        "deadline_ms": NotRequired[int],  # milliseconds left when it was sent
        "once": NotRequired[str],  # idempotency key: the same ask again has one effect and the same answer
        "ttl_s": NotRequired[int],  # how long what is granted lasts; must be there if the asker said no hello
        "trace": NotRequired[str],  # goes into logs, nowhere else
        "epoch": NotRequired[str],  # of the welcome that the asker leans on
    },
)

# last frame of an ask that the broker hands to a server: who asks; nobody else may send it
From = TypedDict(
    "From",
    {
        "client": str,  # the asker's connection, unique in the epoch
        "user": str,  # local on ipc
        "roles": list[Role],  # what it may do
        "hello": NotRequired[bool],  # it said hello, so its end will be told
    },
)

# F: why an ask was not answered
Failure = TypedDict(
    "Failure",
    {
        "code": str,  # a word of errors.def
        "text": str,  # what was wrong and what to do
        "place": NotRequired[str],  # wrong_place: ask again there
        "retry_after_ms": NotRequired[int],  # busy: when it makes sense to ask again
    },
)

# O: an actor's loop is alive; the answer to a ping and the beat
Pong = TypedDict(
    "Pong",
    {
        "busy_us": NotRequired[int],  # time in handlers since the start
        "idle_us": NotRequired[int],  # time waiting since the start
        "open_requests": NotRequired[int],  # asks taken and not yet answered
        "open_asks": NotRequired[int],  # asks sent and not yet answered
        "note": NotRequired[str],  # what it is doing, for people
    },
)

# C: a follower can take so many more events
Credit = TypedDict(
    "Credit",
    {
        "more": int,  # events
    },
)

# B: with an id withdraws that ask or follow; without one the sender leaves; from the broker: a client has gone
Bye = TypedDict(
    "Bye",
    {
        "client": NotRequired[str],  # from the broker: drop what you hold for this client
        "reason": NotRequired[str],  # for logs
    },
)

# what a model is for
ModelType = Literal[
    "unknown",
    "main",
    "vae",
    "lora",
    "control_lora",
    "controlnet",
    "embedding",
    "ip_adapter",
    "clip_vision",
    "clip_embed",
    "t2i_adapter",
    "t5_encoder",
    "onnx",
    "spandrel_image_to_image",
    "siglip",
    "flux_redux",
    "llava_onevision",
    "text_llm",
]
MODEL_TYPE_UNKNOWN = "unknown"
MODEL_TYPE_MAIN = "main"
MODEL_TYPE_VAE = "vae"
MODEL_TYPE_LORA = "lora"
MODEL_TYPE_CONTROL_LORA = "control_lora"
MODEL_TYPE_CONTROLNET = "controlnet"
MODEL_TYPE_EMBEDDING = "embedding"
MODEL_TYPE_IP_ADAPTER = "ip_adapter"
MODEL_TYPE_CLIP_VISION = "clip_vision"
MODEL_TYPE_CLIP_EMBED = "clip_embed"
MODEL_TYPE_T2I_ADAPTER = "t2i_adapter"
MODEL_TYPE_T5_ENCODER = "t5_encoder"
MODEL_TYPE_ONNX = "onnx"
MODEL_TYPE_SPANDREL_IMAGE_TO_IMAGE = "spandrel_image_to_image"
MODEL_TYPE_SIGLIP = "siglip"
MODEL_TYPE_FLUX_REDUX = "flux_redux"
MODEL_TYPE_LLAVA_ONEVISION = "llava_onevision"
MODEL_TYPE_TEXT_LLM = "text_llm"

# the architecture that a model belongs to
BaseModel = Literal[
    "unknown",
    "any",
    "sd-1",
    "sd-2",
    "sd-3",
    "sdxl",
    "sdxl-refiner",
    "flux",
    "flux2",
    "cogview4",
    "z-image",
    "qwen-image",
    "wan",
]
BASE_MODEL_UNKNOWN = "unknown"
BASE_MODEL_ANY = "any"
BASE_MODEL_SD_1 = "sd-1"
BASE_MODEL_SD_2 = "sd-2"
BASE_MODEL_SD_3 = "sd-3"
BASE_MODEL_SDXL = "sdxl"
BASE_MODEL_SDXL_REFINER = "sdxl-refiner"
BASE_MODEL_FLUX = "flux"
BASE_MODEL_FLUX2 = "flux2"
BASE_MODEL_COGVIEW4 = "cogview4"
BASE_MODEL_Z_IMAGE = "z-image"
BASE_MODEL_QWEN_IMAGE = "qwen-image"
BASE_MODEL_WAN = "wan"

# how its files are laid out
ModelFormat = Literal[
    "unknown",
    "checkpoint",
    "diffusers",
    "lycoris",
    "omi",
    "onnx",
    "olive",
    "embedding_file",
    "embedding_folder",
    "invokeai",
    "t5_encoder",
    "bnb_quantized_nf4b",
    "gguf_quantized",
]
MODEL_FORMAT_UNKNOWN = "unknown"
MODEL_FORMAT_CHECKPOINT = "checkpoint"
MODEL_FORMAT_DIFFUSERS = "diffusers"
MODEL_FORMAT_LYCORIS = "lycoris"
MODEL_FORMAT_OMI = "omi"
MODEL_FORMAT_ONNX = "onnx"
MODEL_FORMAT_OLIVE = "olive"
MODEL_FORMAT_EMBEDDING_FILE = "embedding_file"
MODEL_FORMAT_EMBEDDING_FOLDER = "embedding_folder"
MODEL_FORMAT_INVOKEAI = "invokeai"
MODEL_FORMAT_T5_ENCODER = "t5_encoder"
MODEL_FORMAT_BNB_QUANTIZED_NF4B = "bnb_quantized_nf4b"
MODEL_FORMAT_GGUF_QUANTIZED = "gguf_quantized"

# what a main model takes in besides noise
ModelVariant = Literal[
    "normal",
    "inpaint",
    "depth",
]
MODEL_VARIANT_NORMAL = "normal"
MODEL_VARIANT_INPAINT = "inpaint"
MODEL_VARIANT_DEPTH = "depth"

# what a main model predicts
PredictionType = Literal[
    "epsilon",
    "v_prediction",
    "sample",
]
PREDICTION_TYPE_EPSILON = "epsilon"
PREDICTION_TYPE_V_PREDICTION = "v_prediction"
PREDICTION_TYPE_SAMPLE = "sample"

# some fields of a model: an override at install, a sparse update; an absent field is left as it is
ModelChanges = TypedDict(
    "ModelChanges",
    {
        "name": NotRequired[str],  # for people; not unique
        "type": NotRequired[ModelType],  # what it is for
        "base": NotRequired[BaseModel],  # its architecture
        "format": NotRequired[ModelFormat],  # layout of its files
        "also_bases": NotRequired[list[BaseModel]],  # further architectures it works with
        "path": NotRequired[str],  # relative to the models directory, or absolute
        "description": NotRequired[str],  # for people
        "source": NotRequired[str],  # where it came from: a path, URL or repository
        "repo_variant": NotRequired[str],  # which of a repository's files are meant: fp16 …; empty = the plain ones
        "variant": NotRequired[ModelVariant],  # main models
        "prediction_type": NotRequired[PredictionType],  # main models
        "upcast_attention": NotRequired[bool],  # main models of SD-2
    },
)

# one model: the base fields of every record (R1.1), and those of main models
ModelConfig = TypedDict(
    "ModelConfig",
    {
        "key": str,  # 32 random hex digits, made at install, never changed
        "name": str,  # for people; not unique
        "type": ModelType,  # what it is for
        "base": BaseModel,  # its architecture
        "format": ModelFormat,  # layout of its files
        "also_bases": NotRequired[list[BaseModel]],  # further architectures it works with
        "path": str,  # relative to the models directory, or absolute
        "hash": str,  # sampled content hash at install: imohash:<hex>
        "description": NotRequired[str],  # for people
        "source": NotRequired[str],  # where it came from
        "repo_variant": NotRequired[str],  # which of a repository's files a load takes where they are there: fp16 …; empty = the plain ones
        "total_bytes": NotRequired[int],  # of its files
        "variant": NotRequired[ModelVariant],  # main models
        "prediction_type": NotRequired[PredictionType],  # main models
        "upcast_attention": NotRequired[bool],  # main models of SD-2
    },
)

# a model as it stands in the store
ModelRecord = TypedDict(
    "ModelRecord",
    {
        "config": ModelConfig,  # what it is
        "change": int,  # the last change of this row
        "created_ms": int,  # wall clock, since 1970
        "updated_ms": int,  # wall clock, since 1970
    },
)

# one model by its key
RecordKey = TypedDict(
    "RecordKey",
    {
        "key": str,  # 32 hex digits
    },
)

# a new record; with job and token it also ends that install, in the same transaction
RecordAddAsk = TypedDict(
    "RecordAddAsk",
    {
        "config": ModelConfig,  # all of it
        "job": NotRequired[int],  # the install that placed it
        "token": NotRequired[int],  # its lease
    },
)

# whether
RecordExistsAnswer = TypedDict(
    "RecordExistsAnswer",
    {
        "exists": bool,  # a record has this key
    },
)

# any mix of attributes; none = all; a page of at most 256, ordered by name then key
RecordSearchAsk = TypedDict(
    "RecordSearchAsk",
    {
        "name": NotRequired[str],  # exactly this name
        "type": NotRequired[ModelType],  # of this type
        "base": NotRequired[BaseModel],  # for this base: its base, one of its also_bases, or any
        "format": NotRequired[ModelFormat],  # of this format
        "path": NotRequired[str],  # exactly this path
        "cursor": NotRequired[str],  # of the page before; opaque
        "limit": NotRequired[int],  # rows of the page
    },
)

# one page
RecordSearchAnswer = TypedDict(
    "RecordSearchAnswer",
    {
        "records": list[ModelRecord],  # the rows
        "cursor": NotRequired[str],  # of the next page; absent on the last
        "change": int,  # the store's last change: what the page knows of
    },
)

# a sparse change
RecordUpdateAsk = TypedDict(
    "RecordUpdateAsk",
    {
        "key": str,  # of the model
        "changes": ModelChanges,  # fields to set
    },
)

# what is to be done, and by which pool
JobKind = Literal[
    "download",
    "install",
    "convert",
    "archive",
    "hash",
]
JOB_KIND_DOWNLOAD = "download"
JOB_KIND_INSTALL = "install"
JOB_KIND_CONVERT = "convert"
JOB_KIND_ARCHIVE = "archive"
JOB_KIND_HASH = "hash"

# where a job is; which of them a kind has, and how they follow each other, are two tables in actors/recorder
JobStatus = Literal[
    "idle",
    "enqueued",
    "waiting",
    "downloading",
    "running",
    "paused",
    "completed",
    "error",
    "cancelled",
]
JOB_STATUS_IDLE = "idle"
JOB_STATUS_ENQUEUED = "enqueued"
JOB_STATUS_WAITING = "waiting"
JOB_STATUS_DOWNLOADING = "downloading"
JOB_STATUS_RUNNING = "running"
JOB_STATUS_PAUSED = "paused"
JOB_STATUS_COMPLETED = "completed"
JOB_STATUS_ERROR = "error"
JOB_STATUS_CANCELLED = "cancelled"

# one file to fetch
DownloadRequest = TypedDict(
    "DownloadRequest",
    {
        "source": str,  # http or https URL
        "path": str,  # absolute path of the finished file; its directory is the staging directory of the job
        "size": NotRequired[int],  # bytes, where the source published it
        "sha256": NotRequired[str],  # hex digits, where the source published it
    },
)

# a file that is there, proven
DownloadResult = TypedDict(
    "DownloadResult",
    {
        "path": str,  # absolute path
        "bytes": int,  # size
        "sha256": str,  # computed while it was written
        "verified": bool,  # a published hash was there and is equal
        "validator": NotRequired[str],  # strong ETag of the source, if it had one
        "url": NotRequired[str],  # where the bytes came from after redirects, without its query
    },
)

# one model to install; source is canonical text (it parses back to itself)
InstallRequest = TypedDict(
    "InstallRequest",
    {
        "source": str,  # a path or URL
        "local": NotRequired[bool],  # source is a path of this machine
        "inplace": NotRequired[bool],  # record it where it lies
        "move": NotRequired[bool],  # local: take the file instead of copying it
        "config": NotRequired[ModelChanges],  # overrides of what the probe finds
    },
)

# progress of one child of a job
JobPart = TypedDict(
    "JobPart",
    {
        "source": str,  # its source
        "local_path": str,  # where it is written
        "bytes": int,  # so far
        "total_bytes": int,  # 0 while unknown
    },
)

# one job as it stands; exactly one of download and install, as kind says
Job = TypedDict(
    "Job",
    {
        "id": int,  # never used again; one sequence for all kinds
        "kind": JobKind,  # which pool does it
        "status": JobStatus,  # the seed's words
        "held": NotRequired[bool],  # paused: not leased until started again
        "dead": NotRequired[bool],  # dead letter: five grants without progress
        "priority": int,  # lower first, then arrival
        "parent": NotRequired[int],  # the job that waits for it
        "node": NotRequired[str],  # machine it must run on; empty = any
        "key": NotRequired[str],  # install: the model's key, drawn with the row
        "step": NotRequired[str],  # what the next lease does: resolve, probe, place
        "bytes": NotRequired[int],  # so far
        "total_bytes": NotRequired[int],  # 0 while unknown
        "attempts": NotRequired[int],  # grants without progress since
        "sequence": NotRequired[int],  # order of first leasing; 0 = not yet
        "created_ms": int,  # wall clock, since 1970
        "started_ms": NotRequired[int],  # first lease
        "ended_ms": NotRequired[int],  # terminal status
        "error_type": NotRequired[str],  # a word of errors.def
        "error": NotRequired[str],  # what was wrong and what to do
        "local_path": NotRequired[str],  # install: staging directory, then the model's path
        "download": NotRequired[DownloadRequest],  # kind download
        "download_result": NotRequired[DownloadResult],  # kind download, completed
        "install": NotRequired[InstallRequest],  # kind install
        "config_out": NotRequired[ModelConfig],  # install: what was found; complete when completed
        "change": NotRequired[int],  # the last change of this row
    },
)

# a new job; exactly one of download and install
JobSubmitAsk = TypedDict(
    "JobSubmitAsk",
    {
        "kind": JobKind,  # as the request
        "priority": NotRequired[int],  # lower first
        "node": NotRequired[str],  # machine it must run on; empty = any
        "held": NotRequired[bool],  # do not lease it before job.start
        "step": NotRequired[str],  # first step
        "equal": NotRequired[str],  # digest: a live job of the kind with the same digest is answered instead of a new one
        "download": NotRequired[DownloadRequest],  # kind download
        "install": NotRequired[InstallRequest],  # kind install
        "access_token": NotRequired[str],  # for the source; kept in a file of its own, given only with a lease
    },
)

# the row
JobSubmitAnswer = TypedDict(
    "JobSubmitAnswer",
    {
        "job": Job,  # as stored
        "existed": bool,  # an equal live job was there
    },
)

# a lease that a member says it has
JobHolding = TypedDict(
    "JobHolding",
    {
        "job": int,  # id
        "token": int,  # as granted
    },
)

# one member asks for work; open until there is some
JobLeaseAsk = TypedDict(
    "JobLeaseAsk",
    {
        "kinds": list[JobKind],  # what it can do
        "node": str,  # where it runs
        "member": str,  # its instance
        "room": int,  # how many more it can take
        "holding": list[JobHolding],  # what it holds; what is not listed goes back to the queue
    },
)

# one lease
JobGrant = TypedDict(
    "JobGrant",
    {
        "job": Job,  # the row
        "token": int,  # counts per job; every later word about the job carries it
        "lease_ms": int,  # extend before this is over
        "access_token": NotRequired[str],  # of the job or its parent
        "parts": NotRequired[list[JobPart]],  # the first children, for a parent leased again
    },
)

# 1..room grants
JobLeaseAnswer = TypedDict(
    "JobLeaseAnswer",
    {
        "grants": list[JobGrant],  # leases, each for lease_ms
    },
)

# one lease goes on
JobProgress = TypedDict(
    "JobProgress",
    {
        "job": int,  # id
        "token": int,  # as granted
        "bytes": NotRequired[int],  # so far
        "total_bytes": NotRequired[int],  # 0 while unknown
        "note": NotRequired[str],  # for people
    },
)

# the only progress report: once a second and at each further percent, at most 10 a second
JobExtendAsk = TypedDict(
    "JobExtendAsk",
    {
        "leases": list[JobProgress],  # all that the member holds, or those that moved
    },
)

# a lease that is no more: stop
JobRevoked = TypedDict(
    "JobRevoked",
    {
        "job": int,  # id
        "token": NotRequired[int],  # of the lease that is no more; a later lease of the same job goes on
        "why": str,  # cancelled, paused, stale_token, unknown_job
    },
)

# what is no more
JobExtendAnswer = TypedDict(
    "JobExtendAnswer",
    {
        "revoked": list[JobRevoked],  # of the leases asked about
    },
)

# a lease ends with more work: children and the next step, in one transaction; without children the step is leasable at once
JobExpandAsk = TypedDict(
    "JobExpandAsk",
    {
        "job": int,  # the parent
        "token": int,  # its lease
        "step": str,  # the parent's next step, leasable when the last child has ended
        "local_path": NotRequired[str],  # install: the staging directory
        "total_bytes": NotRequired[int],  # of all children, where known
        "children": list[JobSubmitAsk],  # the work
        "config_out": NotRequired[ModelConfig],  # what was found so far
    },
)

# the children's ids, in order
JobExpandAnswer = TypedDict(
    "JobExpandAnswer",
    {
        "children": list[int],  # ids
    },
)

# a lease ends well
JobFinishAsk = TypedDict(
    "JobFinishAsk",
    {
        "job": int,  # id
        "token": int,  # its lease
        "download_result": NotRequired[DownloadResult],  # kind download
    },
)

# a lease ends badly
JobFailAsk = TypedDict(
    "JobFailAsk",
    {
        "job": int,  # id
        "token": int,  # its lease
        "error_type": str,  # a word of errors.def
        "error": str,  # what was wrong and what to do
        "again": NotRequired[bool],  # back to the queue instead of ending (disk full, network gone)
        "after_ms": NotRequired[int],  # again: not before
    },
)

# a lease is handed back unharmed (drain): does not count as an attempt
JobReleaseAsk = TypedDict(
    "JobReleaseAsk",
    {
        "job": int,  # id
        "token": int,  # its lease
    },
)

# one job
JobId = TypedDict(
    "JobId",
    {
        "id": int,  # its number
    },
)

# a page of jobs, newest last
JobListAsk = TypedDict(
    "JobListAsk",
    {
        "kind": NotRequired[JobKind],  # of this kind
        "status": NotRequired[JobStatus],  # with this status
        "live": NotRequired[bool],  # only those that have not ended
        "parent": NotRequired[int],  # children of this job
        "key": NotRequired[str],  # of this model
        "source": NotRequired[str],  # with this canonical source
        "after": NotRequired[int],  # ids above this: the cursor
        "limit": NotRequired[int],  # rows of the page
    },
)

# one page
JobListAnswer = TypedDict(
    "JobListAnswer",
    {
        "jobs": list[Job],  # ascending by id
        "more": NotRequired[bool],  # there is another page after the last id
        "change": int,  # the store's last change: what the page knows of
    },
)

# answers when all have ended; on expiry with those that have, no error
JobWaitAsk = TypedDict(
    "JobWaitAsk",
    {
        "ids": list[int],  # none = all live jobs
        "kind": NotRequired[JobKind],  # none: all live jobs of this kind
        "timeout_ms": NotRequired[int],  # 0 = for ever
    },
)

# forgets ended jobs
JobPruneAsk = TypedDict(
    "JobPruneAsk",
    {
        "kind": NotRequired[JobKind],  # of this kind only
    },
)

# how many
JobPruneAnswer = TypedDict(
    "JobPruneAnswer",
    {
        "pruned": int,  # rows
    },
)

# model_install_downloading
InstallProgress = TypedDict(
    "InstallProgress",
    {
        "source": str,  # as asked for
        "local_path": str,  # the staging directory
        "bytes": int,  # of all parts so far
        "total_bytes": int,  # of all parts; 0 while unknown
        "parts": list[JobPart],  # the files
        "timestamp": float,  # seconds since 1970
    },
)

# model_install_running and model_install_cancelled
InstallRunning = TypedDict(
    "InstallRunning",
    {
        "source": str,  # as asked for
        "timestamp": float,  # seconds since 1970
    },
)

# model_install_completed
InstallCompleted = TypedDict(
    "InstallCompleted",
    {
        "source": str,  # as asked for
        "total_bytes": int,  # of the model's files
        "key": str,  # of the new record
        "timestamp": float,  # seconds since 1970
    },
)

# model_install_error
InstallFailed = TypedDict(
    "InstallFailed",
    {
        "source": str,  # as asked for
        "error_type": str,  # a word of errors.def
        "error": str,  # what was wrong and what to do
        "timestamp": float,  # seconds since 1970
    },
)

# events of a download
DownloadTold = TypedDict(
    "DownloadTold",
    {
        "id": int,  # the job
        "source": str,  # URL
        "local_path": str,  # where it is written
        "bytes": int,  # so far
        "total_bytes": int,  # 0 while unknown
        "error_type": NotRequired[str],  # a word of errors.def
        "error": NotRequired[str],  # what was wrong and what to do
        "timestamp": float,  # seconds since 1970
    },
)

# third frame of an event on the XPUB, fourth in a follow
Stamp = TypedDict(
    "Stamp",
    {
        "epoch": str,  # the broker's life
        "number": int,  # counts all events of the epoch; a yard_beat repeats the last one, 0 = none yet
        "previous": int,  # number of the last event of the same name: a gap shows when it is not the one you saw; 0 = none
        "change": NotRequired[int],  # the store's number; 0 = an event that is not kept
        "store": NotRequired[str],  # whose change numbers these are
        "time": float,  # seconds since 1970, at the publisher
        "from": str,  # place of the publisher
        "subject": str,  # second word of the topic
    },
)

# one event on its way to the broker, or out of the store
Told = TypedDict(
    "Told",
    {
        "name": str,  # model_install_completed
        "subject": str,  # second word of the topic
        "body": bytes,  # the packed map that goes out as it is
        "time": float,  # seconds since 1970
        "change": NotRequired[int],  # the store's number; 0 = not kept
    },
)

# events in order
EventPublishAsk = TypedDict(
    "EventPublishAsk",
    {
        "events": list[Told],  # in order of change
        "store": NotRequired[str],  # identity of the store that numbered the changes
    },
)

# taken
EventPublishAnswer = TypedDict(
    "EventPublishAnswer",
    {
        "number": int,  # of the last event of the epoch
        "change": NotRequired[int],  # of the last change taken from this store
    },
)

# an ordered, gap-free stream; withdraw it with B and the same id
EventFollowAsk = TypedDict(
    "EventFollowAsk",
    {
        "prefixes": list[str],  # of event names; "" = all
        "subject": NotRequired[str],  # only this subject
        "after": NotRequired[int],  # from the event behind this number; absent = from now
        "epoch": NotRequired[str],  # of that number; another epoch is too_old
        "credit": NotRequired[int],  # events that may come before more credit is given
    },
)

# where the stream starts
EventFollowAnswer = TypedDict(
    "EventFollowAnswer",
    {
        "epoch": str,  # the broker's life
        "number": int,  # events after this one follow
    },
)

# events out of the store, in order of change
EventHistoryAsk = TypedDict(
    "EventHistoryAsk",
    {
        "after": int,  # changes above this; too_old if they are no longer kept
        "prefixes": NotRequired[list[str]],  # of event names; none = all
        "limit": NotRequired[int],  # rows of the page
    },
)

# one page
EventHistoryAnswer = TypedDict(
    "EventHistoryAnswer",
    {
        "events": list[Told],  # in order of change
        "last": int,  # ask again after this change
        "more": bool,  # there are more now
        "store": str,  # whose numbers these are
    },
)

# the last number of one name
BeatNumber = TypedDict(
    "BeatNumber",
    {
        "name": str,  # event name
        "number": int,  # of its last event in the epoch
    },
)

# yard_beat, every second: shows a loss at the tail too
Beat = TypedDict(
    "Beat",
    {
        "epoch": str,  # the broker's life
        "number": int,  # of the last event
        "last": list[BeatNumber],  # per name
    },
)

# an actor came or went
ActorTold = TypedDict(
    "ActorTold",
    {
        "actor": str,  # recorder …
        "place": str,  # its stable name
        "instance": str,  # its life
        "node": str,  # its machine
        "reason": NotRequired[str],  # lost: why
    },
)

# the store was found damaged
StoreTold = TypedDict(
    "StoreTold",
    {
        "reason": str,  # what the check said
    },
)

# how much is said
LogLevel = Literal[
    "error",
    "warning",
    "info",
    "debug",
]
LOG_LEVEL_ERROR = "error"
LOG_LEVEL_WARNING = "warning"
LOG_LEVEL_INFO = "info"
LOG_LEVEL_DEBUG = "debug"

# bus: how processes reach each other
BusConfig = TypedDict(
    "BusConfig",
    {
        "command": NotRequired[str],  # endpoint for asks; empty = ipc in the run directory
        "event": NotRequired[str],  # endpoint for subscribers; empty = ipc in the run directory
        "insecure_loopback": NotRequired[bool],  # allow tcp without keys on 127.0.0.1 and ::1
        "open_asks_max": NotRequired[int],  # open asks of one peer, then busy
        "log_events": NotRequired[int],  # events kept for followers
        "log_bytes": NotRequired[int],  # bytes kept for followers
    },
)

# jobs: how work is leased
JobsConfig = TypedDict(
    "JobsConfig",
    {
        "lease_ms": NotRequired[int],  # term of a lease without a word from its holder
        "attempts_max": NotRequired[int],  # grants without progress before a job is a dead letter
        "disk_wait_ms": NotRequired[int],  # a full disk: how long until the job tries again by itself
        "history": NotRequired[int],  # changes kept for events --since
    },
)

# download: fetching files
DownloadConfig = TypedDict(
    "DownloadConfig",
    {
        "workers": NotRequired[int],  # downloader processes that `up` starts
        "max_parallel": NotRequired[int],  # downloads at once per worker
        "allow_private": NotRequired[bool],  # fetch from loopback and private addresses too
        "stall_ms": NotRequired[int],  # no byte for so long: the connection is given up
        "tries_max": NotRequired[int],  # failures without a new byte before the job fails
        "backoff_ms": NotRequired[int],  # first wait after a failure; doubles, full jitter
        "backoff_max_ms": NotRequired[int],  # longest wait after a failure
        "redirects_max": NotRequired[int],  # redirects followed
        "ca_file": NotRequired[str],  # certificates to trust instead of the system's
    },
)

# what a host's loader gives who does not say
HostForm = Literal[
    "mapped",
    "resident",
]
HOST_FORM_MAPPED = "mapped"
HOST_FORM_RESIDENT = "resident"

# how a GPU's memory is handed out
ExportForm = Literal[
    "auto",
    "vmm",
    "ipc",
]
EXPORT_FORM_AUTO = "auto"
EXPORT_FORM_VMM = "vmm"
EXPORT_FORM_IPC = "ipc"

# loader: what stays in memory
LoaderConfig = TypedDict(
    "LoaderConfig",
    {
        "devices": NotRequired[str],  # GPUs that `up` starts a loader for, beside the host: cuda:0 cuda:1 …; all = every one there is
        "form": NotRequired[HostForm],  # mapped: the files themselves; resident: read into memory whole
        "precision": NotRequired[str],  # of tensors: float16, bfloat16 …; empty = the files' own
        "host_bytes": NotRequired[int],  # budget for resident models; 0 = half of the machine's memory
        "device_bytes": NotRequired[int],  # budget on each GPU; 0 = all but device_spare_bytes
        "device_spare_bytes": NotRequired[int],  # left free on each GPU for those who compute
        "export": NotRequired[ExportForm],  # vmm: descriptors, mapped read-only; ipc: for importers without the driver's virtual memory; auto = vmm where the GPU can
        "verify_copies": NotRequired[bool],  # read every copy back from the GPU and compare; every byte goes over the link twice
        "idle_ms": NotRequired[int],  # an unused model leaves memory after so long; 0 = only when room is needed
        "waiters_max": NotRequired[int],  # loads that wait for room at once, then busy
        "read_ahead_bytes": NotRequired[int],  # most bytes of files under way at once
        "spread_ms": NotRequired[int],  # load.spread: how long GPUs may take to come together, or stand still while they exchange bytes, before each reads from its own disk
        "leases_max": NotRequired[int],  # leases at once
        "files_max": NotRequired[int],  # files mapped at once
    },
)

# log: what is said on stderr
LogConfig = TypedDict(
    "LogConfig",
    {
        "level": NotRequired[LogLevel],  # error, warning, info or debug
    },
)

# modelyard.yaml, whole
Configuration = TypedDict(
    "Configuration",
    {
        "models_dir": NotRequired[str],  # where models live; relative to the home directory, or absolute
        "node": NotRequired[str],  # name of this machine on the bus; empty = its host name
        "bus": NotRequired[BusConfig],  # how processes reach each other
        "jobs": NotRequired[JobsConfig],  # how work is leased
        "download": NotRequired[DownloadConfig],  # fetching files
        "loader": NotRequired[LoaderConfig],  # what stays in memory
        "log": NotRequired[LogConfig],  # what is said on stderr
    },
)

# one live actor
YardActorRow = TypedDict(
    "YardActorRow",
    {
        "actor": str,  # recorder …
        "place": str,  # its stable name
        "instance": str,  # its life
        "node": str,  # its machine
        "pid": NotRequired[int],  # process id
        "up_ms": int,  # since its hello
        "pong_ms": int,  # since its last pong
        "busy_us": NotRequired[int],  # time in handlers
        "idle_us": NotRequired[int],  # time waiting
        "open_requests": NotRequired[int],  # asks it has taken and not answered
        "open_asks": NotRequired[int],  # asks it has sent and not seen answered
        "note": NotRequired[str],  # what it says it is doing
    },
)

# who is here
YardActorsAnswer = TypedDict(
    "YardActorsAnswer",
    {
        "actors": list[YardActorRow],  # ordered by place
    },
)

# one method that is served now
YardMethodRow = TypedDict(
    "YardMethodRow",
    {
        "name": str,  # service.method
        "routing": Routing,  # how it is found
        "roles": list[Role],  # who may ask
        "places": list[str],  # who serves it
    },
)

# what can be asked
YardMethodsAnswer = TypedDict(
    "YardMethodsAnswer",
    {
        "methods": list[YardMethodRow],  # ordered by name
    },
)

# one device with a loader
YardDeviceRow = TypedDict(
    "YardDeviceRow",
    {
        "device": str,  # host, cuda:0 …
        "node": str,  # machine
        "place": str,  # ask load.*@place
    },
)

# where models can be loaded
YardDevicesAnswer = TypedDict(
    "YardDevicesAnswer",
    {
        "devices": list[YardDeviceRow],  # ordered by place
    },
)

# what runs here
YardVersionAnswer = TypedDict(
    "YardVersionAnswer",
    {
        "version": str,  # of modelyard
        "protocol": int,  # of the envelope
        "epoch": str,  # of this broker's life
        "zeromq": str,  # library version
        "home": str,  # the yard's directory
        "event_endpoint": str,  # where to subscribe
    },
)

# here
YardPingAnswer = TypedDict(
    "YardPingAnswer",
    {
        "time": float,  # seconds since 1970
        "epoch": str,  # of this broker's life
        "number": int,  # of the last event
    },
)

# a file of this machine
ProbePathAsk = TypedDict(
    "ProbePathAsk",
    {
        "path": str,  # absolute
        "name": NotRequired[str],  # the file's own name where the path's last part is not it
    },
)

# what it is, and why
ProbePathAnswer = TypedDict(
    "ProbePathAnswer",
    {
        "type": ModelType,  # unknown if no rule fits
        "base": BaseModel,  # unknown if no rule fits
        "format": ModelFormat,  # unknown if no rule fits
        "variant": NotRequired[ModelVariant],  # main models
        "prediction_type": NotRequired[PredictionType],  # main models
        "upcast_attention": NotRequired[bool],  # main models of SD-2
        "name": str,  # from the file's name
        "description": NotRequired[str],  # one sentence
        "score": int,  # how sure: 100 = a key and its shape decide, 0 = unknown
        "rule": str,  # stable name of the rule that decided
        "evidence": str,  # the key and shape that decided, or why nothing did
        "tensors": NotRequired[int],  # in its header
        "bytes": NotRequired[int],  # of the file
    },
)

# content hashes
HashAlgorithm = Literal[
    "imohash",
    "sha256",
]
HASH_ALGORITHM_IMOHASH = "imohash"
HASH_ALGORITHM_SHA256 = "sha256"

# the hash of a file
ProbeHashAsk = TypedDict(
    "ProbeHashAsk",
    {
        "path": str,  # absolute
        "algorithm": NotRequired[HashAlgorithm],  # imohash is sampled: 128 KiB and below whole, above start, middle and end; sha256 is the whole file
    },
)

# the hash
ProbeHashAnswer = TypedDict(
    "ProbeHashAnswer",
    {
        "hash": str,  # algorithm:hex
        "bytes": int,  # of the file
    },
)

# a file of this machine
LocalSource = TypedDict(
    "LocalSource",
    {
        "path": str,  # absolute
        "inplace": NotRequired[bool],  # record it where it lies (not_implemented so far)
        "move": NotRequired[bool],  # take the file instead of copying it
    },
)

# a file behind an URL
UrlSource = TypedDict(
    "UrlSource",
    {
        "url": str,  # http or https
    },
)

# exactly one of source, local and url
InstallImportAsk = TypedDict(
    "InstallImportAsk",
    {
        "source": NotRequired[str],  # a path or URL; what it is is told from its form
        "local": NotRequired[LocalSource],  # a file of this machine
        "url": NotRequired[UrlSource],  # a file behind an URL
        "config": NotRequired[ModelChanges],  # overrides of what the probe finds
        "access_token": NotRequired[str],  # for the source
        "priority": NotRequired[int],  # lower first
    },
)

# one install (R2.5)
InstallJob = TypedDict(
    "InstallJob",
    {
        "id": int,  # the job's number
        "status": JobStatus,  # waiting, downloading, running, completed, error, cancelled
        "held": NotRequired[bool],  # paused: waiting until started again
        "config_in": NotRequired[ModelChanges],  # overrides as asked for
        "config_out": NotRequired[ModelConfig],  # the record, when completed
        "inplace": bool,  # recorded where it lies
        "source": str,  # canonical text
        "local_path": str,  # local: the source; remote: the staging directory, then the model's path
        "key": str,  # the model's key, drawn with the row
        "bytes": NotRequired[int],  # fetched so far
        "total_bytes": NotRequired[int],  # 0 while unknown
        "step": NotRequired[str],  # what it does next or now
        "error_type": NotRequired[str],  # a word of errors.def; ambiguous = install again with type, base and format
        "error": NotRequired[str],  # what was wrong and what to do
        "waiting": bool,  # status is waiting
        "downloading": bool,  # status is downloading
        "running": bool,  # status is running
        "complete": bool,  # status is completed
        "errored": bool,  # status is error
        "cancelled": bool,  # status is cancelled
        "in_terminal_state": bool,  # completed, error or cancelled
        "change": NotRequired[int],  # the last change of the row: events not newer are known here
    },
)

# the job
InstallImportAnswer = TypedDict(
    "InstallImportAnswer",
    {
        "job": InstallJob,  # as stored
        "existed": bool,  # an equal live install was there
    },
)

# a page of installs
InstallListAsk = TypedDict(
    "InstallListAsk",
    {
        "live": NotRequired[bool],  # only those that have not ended
        "source": NotRequired[str],  # of this source
        "key": NotRequired[str],  # of this model
        "after": NotRequired[int],  # ids above this: the cursor
        "limit": NotRequired[int],  # rows of the page
    },
)

# one page
InstallListAnswer = TypedDict(
    "InstallListAnswer",
    {
        "jobs": list[InstallJob],  # ascending by id
        "more": NotRequired[bool],  # there is another page
    },
)

# answers when the installs have ended; on expiry with those that have, no error
InstallWaitAsk = TypedDict(
    "InstallWaitAsk",
    {
        "ids": NotRequired[list[int]],  # none = all live installs
        "timeout_ms": NotRequired[int],  # 0 = for ever
    },
)

# a model leaves the yard
InstallDeleteAsk = TypedDict(
    "InstallDeleteAsk",
    {
        "key": str,  # of the model
        "unconditional": NotRequired[bool],  # remove its files even outside the models directory
    },
)

# what went
InstallDeleteAnswer = TypedDict(
    "InstallDeleteAnswer",
    {
        "config": ModelConfig,  # the record as it was
        "files_removed": bool,  # its files are gone too
    },
)

# what reconciling store and disk found
InstallSyncAnswer = TypedDict(
    "InstallSyncAnswer",
    {
        "staging_removed": int,  # staging directories without a live or undecided job
        "recovered": int,  # manifests without a row: recorded again
        "unproven": int,  # manifests whose files do not fit them: left alone and logged
    },
)

# what a loaded model's bytes are
LoadForm = Literal[
    "mapped",
    "resident",
    "device",
]
LOAD_FORM_MAPPED = "mapped"
LOAD_FORM_RESIDENT = "resident"
LOAD_FORM_DEVICE = "device"

# what a load would meet
LoadFit = Literal[
    "loaded",
    "now",
    "evicting",
    "waiting",
    "never",
]
LOAD_FIT_LOADED = "loaded"
LOAD_FIT_NOW = "now"
LOAD_FIT_EVICTING = "evicting"
LOAD_FIT_WAITING = "waiting"
LOAD_FIT_NEVER = "never"

# the caller's words, echoed in load events
LoadContext = TypedDict(
    "LoadContext",
    {
        "queue_id": NotRequired[str],  # the caller's
        "queue_item_id": NotRequired[int],  # the caller's
        "queue_batch_id": NotRequired[str],  # the caller's
        "graph_execution_state_id": NotRequired[str],  # the caller's
    },
)

# by key, by attributes that fit one model, or by record
LoadModelAsk = TypedDict(
    "LoadModelAsk",
    {
        "key": NotRequired[str],  # of the model
        "name": NotRequired[str],  # attributes: name
        "base": NotRequired[BaseModel],  # attributes: base
        "type": NotRequired[ModelType],  # attributes: type
        "config": NotRequired[ModelConfig],  # a record as the recorder gave it; it is not asked again
        "submodel": NotRequired[str],  # part of a main model: unet, vae, text_encoder …
        "whole": NotRequired[bool],  # a main model without naming a part
        "device": NotRequired[str],  # host, cuda:0 …; empty = this place's
        "form": NotRequired[LoadForm],  # of a host: mapped (the file, nothing is copied) or resident (read into memory whole); absent = loader.form
        "precision": NotRequired[str],  # float16, bfloat16 …: the files' own, or not_implemented; absent = loader.precision
        "variant": NotRequired[str],  # which of a repository's files: fp16 …; absent = the record's, or the plain ones where a part has none of it
        "priority": NotRequired[int],  # of reading and of waiting for room; higher goes first
        "keep": NotRequired[bool],  # the lease is the yard's: it lasts until load.release or its ttl, whoever asked
        "context": NotRequired[LoadContext],  # echoed in events
    },
)

# where the time of a load went
LoadPhase = TypedDict(
    "LoadPhase",
    {
        "name": str,  # record, download, open, parse, directory, plan, room, prepare, read, finish, lease
        "us": int,  # microseconds
    },
)

# one run of bytes that tensors live in: a file, a copy of it in memory, or an allocation on the device
LoadRegion = TypedDict(
    "LoadRegion",
    {
        "name": str,  # the file's real name, or the device's
        "bytes": int,  # size
    },
)

# a lease: the model stays while it lasts
LoadModelAnswer = TypedDict(
    "LoadModelAnswer",
    {
        "lease": str,  # hex digits; shown to the attach socket, and to load.release
        "config": ModelConfig,  # the record
        "place": str,  # the loader
        "device": str,  # host, cuda:0 …
        "form": LoadForm,  # mapped: the model's own files, and their fate (a file that is cut short under a mapping ends its reader with SIGBUS); resident and device: memory of the yard's, which nobody changes
        "device_uuid": NotRequired[str],  # of a GPU
        "plan": NotRequired[str],  # hash of where the tensors lie on a device
        "locked": NotRequired[bool],  # resident: the memory is never swapped out
        "checked_bytes": NotRequired[int],  # resident, device: how many bytes were held against their checksums while they were read
        "regions": list[LoadRegion],  # in order of their numbers
        "tensors": int,  # rows of the directory
        "directory_bytes": int,  # size of the directory's memory file
        "attach": str,  # path of the attach socket
        "view": str,  # directory with the model's real file names, for unmodified readers; same user and machine only; empty on a device
        "shared": bool,  # it was loaded already
        "took_us": int,  # from ask to answer, in the loader
        "phases": list[LoadPhase],  # where the time went
    },
)

# a lease ends
LoadReleaseAsk = TypedDict(
    "LoadReleaseAsk",
    {
        "lease": str,  # hex digits
    },
)

# a lease that its owner goes on with
LoadLockAsk = TypedDict(
    "LoadLockAsk",
    {
        "lease": str,  # hex digits
        "ttl_s": NotRequired[int],  # from now; absent = as before
        "state": NotRequired[bool],  # also the model's state dict in host memory: a lease of the host's loader, in the answer
    },
)

# the model is on its device, and stays
LoadLockAnswer = TypedDict(
    "LoadLockAnswer",
    {
        "state": NotRequired[LoadModelAnswer],  # the same tensors in host memory; absent where the format has none
    },
)

# a model that is in no record
LoadPathAsk = TypedDict(
    "LoadPathAsk",
    {
        "path": str,  # of a file or folder on the loader's machine, absolute
        "loader": NotRequired[str],  # which loader; absent = the one that fits the file
        "as": NotRequired[LoadModelAsk],  # everything else of a load; its key, attributes and record are not looked at
    },
)

# a model that is in no record, and not here yet
LoadRemoteAsk = TypedDict(
    "LoadRemoteAsk",
    {
        "source": str,  # where from, in the grammar of install.import: a URL; hub forms are not_implemented so far; a path is loaded where it lies
        "loader": NotRequired[str],  # which loader; absent = the one that fits the file
        "as": NotRequired[LoadModelAsk],  # everything else of a load; its key, attributes and record are not looked at
    },
)

# the model is in memory, and nobody's
LoadPrefetchAnswer = TypedDict(
    "LoadPrefetchAnswer",
    {
        "bytes": int,  # of its regions
        "shared": bool,  # it was there already
        "took_us": int,  # from ask to answer, in the loader
    },
)

# idle models leave memory; least recently used first
LoadEvictAsk = TypedDict(
    "LoadEvictAsk",
    {
        "key": NotRequired[str],  # only this model's; absent = any
        "bytes": NotRequired[int],  # until so many are free; absent = all idle ones
    },
)

# what went
LoadEvictAnswer = TypedDict(
    "LoadEvictAnswer",
    {
        "models": int,  # how many
        "bytes": int,  # of them
    },
)

# what a load would take and meet, without doing it
LoadEstimateAnswer = TypedDict(
    "LoadEstimateAnswer",
    {
        "fit": LoadFit,  # loaded: it is there; evicting: after idle models have gone; waiting: for leases or loads of others; never: over the budget
        "bytes": int,  # that it needs of the budget; 0 for a mapped one
        "evict_bytes": int,  # of idle models that would go
        "tensors": int,  # rows of its directory
        "precision": str,  # of its tensors: float16 …, or mixed
    },
)

# a loader's device, and its cache
LoadDeviceAnswer = TypedDict(
    "LoadDeviceAnswer",
    {
        "device": str,  # host, cuda:0 …
        "name": str,  # as the driver calls it
        "uuid": NotRequired[str],  # of a GPU
        "pci": NotRequired[str],  # of a GPU
        "total_bytes": int,  # of its memory
        "budget_bytes": int,  # what loads may take of it
        "free_bytes": int,  # of the budget
        "reserved_bytes": int,  # of loads under way
        "held_bytes": int,  # of loaded models
        "idle_bytes": int,  # of them: nobody's now, may be evicted
        "draining_bytes": int,  # of models that have left the cache, still attached or being freed
        "waiting_bytes": int,  # asked for by loads that wait for room
        "peak_bytes": int,  # most in use at once since the start
        "models": int,  # loaded
        "leases": int,  # open
        "loads": int,  # asks of load.model since the start
        "hits": int,  # of them: the model was there
        "evictions": int,  # models that went for others, since the start
        "read_bytes": int,  # read from files since the start
        "cached_bytes": int,  # of them: from the page cache
        "uring": NotRequired[bool],  # reads by io_uring
    },
)

# one lease or loaded model
LoadRow = TypedDict(
    "LoadRow",
    {
        "lease": str,  # first eight digits, or all of them if the asker owns it or the yard does; empty: a model that is nobody's now
        "key": str,  # of the model
        "name": str,  # of the model
        "submodel": NotRequired[str],  # part
        "device": str,  # host, cuda:0 …
        "form": LoadForm,  # what its bytes are
        "state": str,  # leased; draining: the lease is over, attachments are not; idle: in the cache; loading: under way
        "owner": str,  # client, or yard; empty for idle and loading ones
        "bytes": int,  # of its regions
        "attachments": int,  # open attach connections
        "age_ms": int,  # since the lease began; of an idle model: since its last use; of a load: since it began
        "done_bytes": NotRequired[int],  # of a load under way: read so far
    },
)

# what is loaded here
LoadListAnswer = TypedDict(
    "LoadListAnswer",
    {
        "loads": list[LoadRow],  # oldest first
        "left_out": NotRequired[int],  # rows that did not fit
    },
)

# model_load_started and model_load_completed: the seed's keys
LoadTold = TypedDict(
    "LoadTold",
    {
        "queue_id": str,  # from the caller's context
        "queue_item_id": int,  # from the caller's context
        "queue_batch_id": str,  # from the caller's context
        "graph_execution_state_id": str,  # from the caller's context
        "model_key": str,  # of the model
        "submodel_type": str,  # part, or empty
        "hash": str,  # of the record
        "location": str,  # path
        "precision": str,  # of the file's tensors: float16 …, or mixed
        "timestamp": float,  # seconds since 1970
    },
)

# model_load_progress: told a few times a second while a load reads
LoadProgress = TypedDict(
    "LoadProgress",
    {
        "model_key": str,  # of the model
        "submodel_type": str,  # part, or empty
        "device": str,  # host, cuda:0 …
        "bytes": int,  # read so far
        "total_bytes": int,  # to read
        "bytes_per_s": int,  # since it began
        "timestamp": float,  # seconds since 1970
    },
)

# model_load_failed
LoadFailed = TypedDict(
    "LoadFailed",
    {
        "queue_id": str,  # from the caller's context
        "queue_item_id": int,  # from the caller's context
        "queue_batch_id": str,  # from the caller's context
        "graph_execution_state_id": str,  # from the caller's context
        "model_key": str,  # of the model
        "submodel_type": str,  # part, or empty
        "error_type": str,  # a word of errors.def
        "error": str,  # what was wrong and what to do
        "timestamp": float,  # seconds since 1970
    },
)

# model_evicted: an idle model left memory
LoadEvicted = TypedDict(
    "LoadEvicted",
    {
        "model_key": str,  # of the model
        "submodel_type": str,  # part, or empty
        "device": str,  # host, cuda:0 …
        "bytes": int,  # of its regions
        "reason": str,  # room, time or asked
        "timestamp": float,  # seconds since 1970
    },
)

# what each of several devices gets of a model
SpreadMode = Literal[
    "replicate",
    "shard",
]
SPREAD_MODE_REPLICATE = "replicate"
SPREAD_MODE_SHARD = "shard"

# how the bytes came to a device
SpreadWay = Literal[
    "present",
    "gathered",
    "received",
    "read",
]
SPREAD_WAY_PRESENT = "present"
SPREAD_WAY_GATHERED = "gathered"
SPREAD_WAY_RECEIVED = "received"
SPREAD_WAY_READ = "read"

# one row of a tensor-parallel plan; the first whose pattern fits a tensor's name counts, and what fits none is whole on each device
LoadSlice = TypedDict(
    "LoadSlice",
    {
        "pattern": str,  # of names: * and ? as a shell's
        "axis": int,  # the dimension that is cut: 0 = rows, 1 = columns …; it must be divisible by the number of devices
    },
)

# one model onto several GPUs of one machine
LoadSpreadAsk = TypedDict(
    "LoadSpreadAsk",
    {
        "key": NotRequired[str],  # of the model
        "name": NotRequired[str],  # attributes: name
        "base": NotRequired[BaseModel],  # attributes: base
        "type": NotRequired[ModelType],  # attributes: type
        "config": NotRequired[ModelConfig],  # a record as the recorder gave it; it is not asked again
        "submodel": NotRequired[str],  # part of a main model: unet, vae, text_encoder …
        "whole": NotRequired[bool],  # a main model without naming a part
        "devices": list[str],  # cuda:0 …; each once
        "mode": NotRequired[SpreadMode],  # replicate: all of it on each; shard: each its slices
        "slices": NotRequired[list[LoadSlice]],  # shard: which tensors are cut, and how
        "precision": NotRequired[str],  # as of load.model
        "variant": NotRequired[str],  # as of load.model
        "priority": NotRequired[int],  # as of load.model
        "keep": NotRequired[bool],  # as of load.model
        "context": NotRequired[LoadContext],  # echoed in events
    },
)

# one device; exactly one of load and failure
LoadSpreadRow = TypedDict(
    "LoadSpreadRow",
    {
        "device": str,  # cuda:0 …
        "place": str,  # its loader
        "way": SpreadWay,  # present: it was there; gathered: each device read a part and got the others'; received: from a device that had it; read: from its own disk, alone
        "load": NotRequired[LoadModelAnswer],  # its lease; it ends with the asker, or with the loader that was asked
        "failure": NotRequired[Failure],  # why this device has nothing
    },
)

# which device has what
LoadSpreadAnswer = TypedDict(
    "LoadSpreadAnswer",
    {
        "devices": list[LoadSpreadRow],  # in the order of their names
        "mode": SpreadMode,  # as asked
        "fallback": bool,  # the devices could not give each other the bytes, and each read what it lacked itself
        "fallback_reason": NotRequired[str],  # why
        "took_us": int,  # from ask to answer
    },
)

# between loaders: a spread wants this device to itself
LoadTurnAsk = TypedDict(
    "LoadTurnAsk",
    {
        "spread": str,  # its number, as hex digits
    },
)

# between loaders: files opened, room reserved, memory allocated
LoadJoinAsk = TypedDict(
    "LoadJoinAsk",
    {
        "spread": str,  # which has the turn
        "as": LoadModelAsk,  # what of; with its record
        "mode": SpreadMode,  # replicate or shard
        "slices": NotRequired[list[LoadSlice]],  # shard: which tensors are cut
        "rank": int,  # shard: which slice; else of no weight
        "ranks": int,  # how many devices at most
    },
)

# ready
LoadJoinAnswer = TypedDict(
    "LoadJoinAnswer",
    {
        "plan": str,  # hash of the files and of where their tensors lie: devices exchange bytes only if theirs are equal
        "present": bool,  # the model is there already
        "apart": NotRequired[bool],  # there is no room for NCCL's memory beside the model: it exchanges nothing
        "device_uuid": str,  # of the GPU
    },
)

# between loaders: bytes are exchanged now
LoadGatherAsk = TypedDict(
    "LoadGatherAsk",
    {
        "spread": str,  # which has the turn
        "id": str,  # ncclUniqueId, 128 bytes as hex digits
        "rank": int,  # among those who exchange
        "ranks": int,  # how many they are
        "root": NotRequired[int],  # who has all of it; absent: each reads its part
    },
)

# over on this device
LoadGatherAnswer = TypedDict(
    "LoadGatherAnswer",
    {
        "failure": NotRequired[Failure],  # it came to nothing; the device waits for load.complete
    },
)

# between loaders: the model is finished and leased
LoadCompleteAsk = TypedDict(
    "LoadCompleteAsk",
    {
        "spread": str,  # which has the turn; it ends with the answer
        "as": LoadModelAsk,  # as in load.join
        "alone": bool,  # the exchange has failed somewhere: what is missing comes from this device's own disk
    },
)

# between loaders: a spread is over; what it has not finished here is given up, what it has leased here is released
LoadLeaveAsk = TypedDict(
    "LoadLeaveAsk",
    {
        "spread": str,  # which
    },
)

# model_spread_completed, model_spread_fallback, model_spread_failed
LoadSpreadTold = TypedDict(
    "LoadSpreadTold",
    {
        "queue_id": str,  # from the caller's context
        "queue_item_id": int,  # from the caller's context
        "queue_batch_id": str,  # from the caller's context
        "graph_execution_state_id": str,  # from the caller's context
        "model_key": str,  # of the model
        "submodel_type": str,  # part, or empty
        "mode": SpreadMode,  # replicate or shard
        "devices": str,  # those that have it now, or try to: their names, a blank between
        "fallback": bool,  # each reads, or has read, what it lacked itself
        "error_type": NotRequired[str],  # fallback, failed: a word of errors.def
        "error": NotRequired[str],  # fallback, failed: what was wrong and what to do
        "timestamp": float,  # seconds since 1970
    },
)

# first packet on the attach socket, from the client
AttachHello = TypedDict(
    "AttachHello",
    {
        "lease": str,  # hex digits
        "protocol": int,  # 1
    },
)

# what a region is handed out as
AttachForm = Literal[
    "file",
    "vmm",
    "ipc",
]
ATTACH_FORM_FILE = "file"
ATTACH_FORM_VMM = "vmm"
ATTACH_FORM_IPC = "ipc"

# one region; its descriptor comes with the answer, but for ipc
AttachRegion = TypedDict(
    "AttachRegion",
    {
        "name": str,  # the file's real name, or the device's
        "form": NotRequired[AttachForm],  # file: map it; vmm: cuMemImportFromShareableHandle, read-only; ipc: cudaIpcOpenMemHandle with handle, no descriptor comes
        "bytes": int,  # size when it was opened; of an allocation: whole, rounded up
        "device": int,  # st_dev; 0 for an allocation
        "inode": int,  # st_ino; 0 for an allocation
        "device_uuid": NotRequired[str],  # of the GPU that an allocation is on
        "handle": NotRequired[str],  # ipc: cudaIpcMemHandle_t, 64 bytes as hex digits
    },
)

# answer on the attach socket; descriptors come beside it: the directory first, then the regions in order; more packets follow while `more`
AttachAnswer = TypedDict(
    "AttachAnswer",
    {
        "failure": NotRequired[Failure],  # then the connection ends
        "directory_bytes": NotRequired[int],  # of the directory, with the first packet
        "tensors": NotRequired[int],  # rows of the directory
        "regions": NotRequired[list[AttachRegion]],  # of this packet
        "more": NotRequired[bool],  # another packet with more regions follows
    },
)

# one file of the model
ManifestFile = TypedDict(
    "ManifestFile",
    {
        "path": str,  # relative to the folder
        "bytes": int,  # size
        "sha256": str,  # of the whole file, hex digits
        "chunk_bytes": int,  # bytes per checksum; the last chunk is shorter
        "crc32c": str,  # eight hex digits per chunk, in order (RFC 3720 B.4)
    },
)

# an installed model
Manifest = TypedDict(
    "Manifest",
    {
        "version": int,  # of this format
        "job": int,  # the install that wrote it
        "config": ModelConfig,  # the record as it was installed
        "files": list[ManifestFile],  # all files but this one
    },
)

# Method -> names of its records (schema/<name>.json), deadline (0 = none), how the broker finds a server, who may ask.
METHODS: dict[str, dict[str, Any]] = {
    "record.add": {
        "ask": "record_add_ask",
        "answer": "model_record",
        "deadline_ms": 30000,
        "routing": "single",
        "roles": ["worker", "admin"],
    },
    "record.get": {
        "ask": "record_key",
        "answer": "model_record",
        "deadline_ms": 10000,
        "routing": "single",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "record.exists": {
        "ask": "record_key",
        "answer": "record_exists_answer",
        "deadline_ms": 10000,
        "routing": "single",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "record.search": {
        "ask": "record_search_ask",
        "answer": "record_search_answer",
        "deadline_ms": 10000,
        "routing": "single",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "record.update": {
        "ask": "record_update_ask",
        "answer": "model_record",
        "deadline_ms": 30000,
        "routing": "single",
        "roles": ["operator", "admin"],
    },
    "record.delete": {
        "ask": "record_key",
        "answer": "model_record",
        "deadline_ms": 30000,
        "routing": "single",
        "roles": ["operator", "admin"],
    },
    "job.submit": {
        "ask": "job_submit_ask",
        "answer": "job_submit_answer",
        "deadline_ms": 30000,
        "routing": "single",
        "roles": ["operator", "admin"],
    },
    "job.lease": {
        "ask": "job_lease_ask",
        "answer": "job_lease_answer",
        "deadline_ms": 0,
        "routing": "single",
        "roles": ["worker", "admin"],
    },
    "job.extend": {
        "ask": "job_extend_ask",
        "answer": "job_extend_answer",
        "deadline_ms": 10000,
        "routing": "single",
        "roles": ["worker", "admin"],
    },
    "job.expand": {
        "ask": "job_expand_ask",
        "answer": "job_expand_answer",
        "deadline_ms": 30000,
        "routing": "single",
        "roles": ["worker", "admin"],
    },
    "job.finish": {
        "ask": "job_finish_ask",
        "answer": "job",
        "deadline_ms": 30000,
        "routing": "single",
        "roles": ["worker", "admin"],
    },
    "job.fail": {
        "ask": "job_fail_ask",
        "answer": "job",
        "deadline_ms": 30000,
        "routing": "single",
        "roles": ["worker", "admin"],
    },
    "job.release": {
        "ask": "job_release_ask",
        "answer": "job",
        "deadline_ms": 30000,
        "routing": "single",
        "roles": ["worker", "admin"],
    },
    "job.get": {
        "ask": "job_id",
        "answer": "job",
        "deadline_ms": 10000,
        "routing": "single",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "job.list": {
        "ask": "job_list_ask",
        "answer": "job_list_answer",
        "deadline_ms": 10000,
        "routing": "single",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "job.wait": {
        "ask": "job_wait_ask",
        "answer": "job_list_answer",
        "deadline_ms": 0,
        "routing": "single",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "job.cancel": {
        "ask": "job_id",
        "answer": "job",
        "deadline_ms": 30000,
        "routing": "single",
        "roles": ["operator", "admin"],
    },
    "job.pause": {
        "ask": "job_id",
        "answer": "job",
        "deadline_ms": 30000,
        "routing": "single",
        "roles": ["operator", "admin"],
    },
    "job.start": {
        "ask": "job_id",
        "answer": "job",
        "deadline_ms": 30000,
        "routing": "single",
        "roles": ["operator", "admin"],
    },
    "job.prune": {
        "ask": "job_prune_ask",
        "answer": "job_prune_answer",
        "deadline_ms": 30000,
        "routing": "single",
        "roles": ["operator", "admin"],
    },
    "event.publish": {
        "ask": "event_publish_ask",
        "answer": "event_publish_answer",
        "deadline_ms": 10000,
        "routing": "broker",
        "roles": ["worker", "admin"],
    },
    "event.follow": {
        "ask": "event_follow_ask",
        "answer": "event_follow_answer",
        "deadline_ms": 0,
        "routing": "broker",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "event.history": {
        "ask": "event_history_ask",
        "answer": "event_history_answer",
        "deadline_ms": 10000,
        "routing": "single",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "yard.actors": {
        "ask": "nothing",
        "answer": "yard_actors_answer",
        "deadline_ms": 5000,
        "routing": "broker",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "yard.methods": {
        "ask": "nothing",
        "answer": "yard_methods_answer",
        "deadline_ms": 5000,
        "routing": "broker",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "yard.devices": {
        "ask": "nothing",
        "answer": "yard_devices_answer",
        "deadline_ms": 5000,
        "routing": "broker",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "yard.config": {
        "ask": "nothing",
        "answer": "configuration",
        "deadline_ms": 5000,
        "routing": "broker",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "yard.version": {
        "ask": "nothing",
        "answer": "yard_version_answer",
        "deadline_ms": 5000,
        "routing": "broker",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "yard.ping": {
        "ask": "nothing",
        "answer": "yard_ping_answer",
        "deadline_ms": 5000,
        "routing": "broker",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "probe.path": {
        "ask": "probe_path_ask",
        "answer": "probe_path_answer",
        "deadline_ms": 60000,
        "routing": "single",
        "roles": ["operator", "admin"],
    },
    "probe.hash": {
        "ask": "probe_hash_ask",
        "answer": "probe_hash_answer",
        "deadline_ms": 3600000,
        "routing": "single",
        "roles": ["operator", "admin"],
    },
    "install.import": {
        "ask": "install_import_ask",
        "answer": "install_import_answer",
        "deadline_ms": 30000,
        "routing": "single",
        "roles": ["operator", "admin"],
    },
    "install.get": {
        "ask": "job_id",
        "answer": "install_job",
        "deadline_ms": 10000,
        "routing": "single",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "install.list": {
        "ask": "install_list_ask",
        "answer": "install_list_answer",
        "deadline_ms": 10000,
        "routing": "single",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "install.wait": {
        "ask": "install_wait_ask",
        "answer": "install_list_answer",
        "deadline_ms": 0,
        "routing": "single",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "install.cancel": {
        "ask": "job_id",
        "answer": "install_job",
        "deadline_ms": 30000,
        "routing": "single",
        "roles": ["operator", "admin"],
    },
    "install.delete": {
        "ask": "install_delete_ask",
        "answer": "install_delete_answer",
        "deadline_ms": 60000,
        "routing": "single",
        "roles": ["operator", "admin"],
    },
    "install.sync": {
        "ask": "nothing",
        "answer": "install_sync_answer",
        "deadline_ms": 600000,
        "routing": "single",
        "roles": ["operator", "admin"],
    },
    "load.model": {
        "ask": "load_model_ask",
        "answer": "load_model_answer",
        "deadline_ms": 0,
        "routing": "placed",
        "roles": ["operator", "admin"],
    },
    "load.lock": {
        "ask": "load_lock_ask",
        "answer": "load_lock_answer",
        "deadline_ms": 0,
        "routing": "placed",
        "roles": ["operator", "admin"],
    },
    "load.path": {
        "ask": "load_path_ask",
        "answer": "load_model_answer",
        "deadline_ms": 0,
        "routing": "placed",
        "roles": ["operator", "admin"],
    },
    "load.remote": {
        "ask": "load_remote_ask",
        "answer": "load_model_answer",
        "deadline_ms": 0,
        "routing": "placed",
        "roles": ["operator", "admin"],
    },
    "load.prefetch": {
        "ask": "load_model_ask",
        "answer": "load_prefetch_answer",
        "deadline_ms": 0,
        "routing": "placed",
        "roles": ["operator", "admin"],
    },
    "load.evict": {
        "ask": "load_evict_ask",
        "answer": "load_evict_answer",
        "deadline_ms": 10000,
        "routing": "placed",
        "roles": ["operator", "admin"],
    },
    "load.estimate": {
        "ask": "load_model_ask",
        "answer": "load_estimate_answer",
        "deadline_ms": 60000,
        "routing": "placed",
        "roles": ["operator", "admin"],
    },
    "load.device": {
        "ask": "nothing",
        "answer": "load_device_answer",
        "deadline_ms": 10000,
        "routing": "placed",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
    "load.spread": {
        "ask": "load_spread_ask",
        "answer": "load_spread_answer",
        "deadline_ms": 0,
        "routing": "placed",
        "roles": ["operator", "admin"],
    },
    "load.turn": {
        "ask": "load_turn_ask",
        "answer": "nothing",
        "deadline_ms": 0,
        "routing": "placed",
        "roles": ["worker", "admin"],
    },
    "load.join": {
        "ask": "load_join_ask",
        "answer": "load_join_answer",
        "deadline_ms": 0,
        "routing": "placed",
        "roles": ["worker", "admin"],
    },
    "load.gather": {
        "ask": "load_gather_ask",
        "answer": "load_gather_answer",
        "deadline_ms": 0,
        "routing": "placed",
        "roles": ["worker", "admin"],
    },
    "load.complete": {
        "ask": "load_complete_ask",
        "answer": "load_model_answer",
        "deadline_ms": 0,
        "routing": "placed",
        "roles": ["worker", "admin"],
    },
    "load.leave": {
        "ask": "load_leave_ask",
        "answer": "nothing",
        "deadline_ms": 10000,
        "routing": "placed",
        "roles": ["worker", "admin"],
    },
    "load.release": {
        "ask": "load_release_ask",
        "answer": "nothing",
        "deadline_ms": 10000,
        "routing": "placed",
        "roles": ["operator", "admin"],
    },
    "load.list": {
        "ask": "nothing",
        "answer": "load_list_answer",
        "deadline_ms": 10000,
        "routing": "placed",
        "roles": ["viewer", "operator", "worker", "admin"],
    },
}

# Event -> name of its body's record, and what the second word of the topic is.
EVENTS: dict[str, dict[str, str]] = {
    "model_record_added": {"body": "model_record", "subject": "key"},
    "model_record_updated": {"body": "model_record", "subject": "key"},
    "model_record_deleted": {"body": "model_record", "subject": "key"},
    "model_install_downloading": {"body": "install_progress", "subject": "job"},
    "model_install_running": {"body": "install_running", "subject": "job"},
    "model_install_completed": {"body": "install_completed", "subject": "job"},
    "model_install_error": {"body": "install_failed", "subject": "job"},
    "model_install_cancelled": {"body": "install_running", "subject": "job"},
    "download_enqueued": {"body": "download_told", "subject": "job"},
    "download_running": {"body": "download_told", "subject": "job"},
    "download_paused": {"body": "download_told", "subject": "job"},
    "download_completed": {"body": "download_told", "subject": "job"},
    "download_error": {"body": "download_told", "subject": "job"},
    "download_cancelled": {"body": "download_told", "subject": "job"},
    "yard_beat": {"body": "beat", "subject": "none"},
    "actor_joined": {"body": "actor_told", "subject": "place"},
    "actor_lost": {"body": "actor_told", "subject": "place"},
    "store_damaged": {"body": "store_told", "subject": "none"},
    "model_load_started": {"body": "load_told", "subject": "key"},
    "model_load_completed": {"body": "load_told", "subject": "key"},
    "model_load_progress": {"body": "load_progress", "subject": "key"},
    "model_load_failed": {"body": "load_failed", "subject": "key"},
    "model_evicted": {"body": "load_evicted", "subject": "key"},
    "model_spread_completed": {"body": "load_spread_told", "subject": "key"},
    "model_spread_fallback": {"body": "load_spread_told", "subject": "key"},
    "model_spread_failed": {"body": "load_spread_told", "subject": "key"},
}

# A failure's word -> HTTP status, the command line's exit code, what it means.
ERRORS: dict[str, tuple[int, int, str]] = {
    "not_served": (503, 69, "nobody serves this method now; certainly not done"),
    "busy": (429, 10, "a limit of open work is reached; certainly not done, try again later"),
    "forbidden": (403, 7, "the roles of the asker do not include this method; certainly not done"),
    "hello_first": (409, 69, "the broker does not know this actor (any more); say hello and repeat"),
    "taken": (409, 11, "another live process holds this place or this method"),
    "gone": (502, 69, "the server or the connection ended before an answer; the outcome is unknown"),
    "timeout": (504, 9, "the deadline passed before an answer; the outcome is unknown"),
    "bad_frame": (400, 2, "the frames are no message of this protocol"),
    "unknown_method": (404, 2, "the service has no such method"),
    "invalid_message": (400, 2, "a field is missing, of the wrong type or outside its limits"),
    "too_large": (413, 10, "a message, field, file or list is over its named limit"),
    "too_old": (410, 1, "the events asked for have left the log; take a snapshot"),
    "wrong_place": (421, 2, "another place serves this; its name stands in the failure"),
    "conflict": (409, 11, "the same once key came with another body, or the state forbids it"),
    "cancelled": (409, 13, "the work was cancelled"),
    "unreachable": (503, 69, "no yard answers at this address"),
    "unknown_model": (404, 3, "no record has this key"),
    "duplicate_model": (409, 11, "a record with this key exists, or several records fit"),
    "invalid_model_config": (422, 2, "a record's fields do not fit together"),
    "ambiguous_model": (409, 2, "the attributes fit several models"),
    "wrong_store": (500, 2, "the file is no store of ours, or of a later version"),
    "store_failed": (500, 5, "the store could not commit; repeat it with the same once key"),
    "store_read_only": (503, 4, "the store is damaged and only read from"),
    "unknown_job": (404, 3, "no job has this id"),
    "stale_token": (409, 11, "the lease was given to another since"),
    "too_late": (409, 11, "the work has ended already"),
    "invalid_source": (400, 2, "the source is none of the forms we know"),
    "forbidden_address": (403, 8, "the address is private, and downloads from private addresses are not configured"),
    "not_authorised": (401, 7, "the server wants a credential, or refuses this one"),
    "not_found": (404, 3, "the file or resource is not there"),
    "http_failed": (502, 6, "the server answered with a failure"),
    "network_failed": (502, 6, "the server could not be reached, or the connection broke too often"),
    "stalled": (504, 9, "no byte came for the stall time"),
    "source_changed": (409, 4, "the file changed at its source while it was fetched"),
    "integrity": (422, 4, "size or content hash is not what it must be"),
    "disk_full": (507, 5, "no space is left"),
    "disk_failed": (500, 5, "the disk reported an error; what was written is not to be trusted"),
    "file_locked": (409, 11, "another process holds the file"),
    "invalid_file": (422, 4, "the file breaks its format's rules"),
    "ambiguous": (422, 2, "what model this is cannot be told; install again with type, base and format"),
    "probe_crashed": (422, 8, "the probe died twice on this file"),
    "model_not_found": (404, 3, "the model is recorded, but its files are gone"),
    "no_submodel": (400, 2, "the model has no such part"),
    "submodel_needed": (400, 2, "a main model is loaded by one of its parts, or whole: true"),
    "unknown_lease": (404, 3, "no lease has this id"),
    "not_local": (409, 2, "the attachment is for another host, user or pid namespace"),
    "out_of_memory": (507, 5, "the memory budget is exhausted"),
    "device_lost": (503, 69, "the device has failed and its loader starts anew; load again"),
    "not_implemented": (501, 2, "this is not built yet; the text says what is"),
    "invalid_config": (400, 2, "a configuration key or value is wrong"),
    "internal": (500, 70, "a bug of ours"),
}
