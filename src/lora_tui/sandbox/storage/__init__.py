"""The sandbox's Storage: objects, signed links and resumable uploads.

It answers as the real service on s3 or, on request, as one that keeps its objects in files. It may
import the modules of `sandbox` itself, but neither `postgrest` nor `seed`.
"""
