"""Words of the pages that the service writes itself, in the viewer's languages. A test compares them."""

from __future__ import annotations

from collections.abc import Mapping

EN = {
    "app": "logsvc",
    "viewer": "Open in the viewer",
    "download": "Download",
    "end": "The end of the log as it was when this page was opened.",
    "end_live": "More may have been written since; load the page again to see it.",
    "big": "This log has {size}.",
    "big_how": "A browser needs a lot of memory and time to show it on one page, and may stop responding.",
    "big_viewer": "Search the whole log instead",
    "big_download": "Download instead",
    "big_open": "Open anyway",
    "home": "All jobs",
    "unauthorized": "Please log in.",
    "unauthorized_how": "Open the link that the service printed when it started, then come back to this page.",
    "forbidden": "You may not see this.",
    "forbidden_how": "The token you logged in with does not allow it.",
    "not_found": "There is nothing here.",
    "not_found_how": "It may have expired (logs are kept for some time after a job’s end), or the link is incomplete.",
    "expired": "These logs have expired.",
    "expired_how": "They were kept for the promised time after the job’s end and are gone now.",
    "unavailable": "The store does not answer at the moment.",
    "unavailable_how": "Usually this passes; load the page again. If it does not, ask the operator of the service.",
    "other": "This did not work.",
    "other_how": "The service said:",
}

ZH_CN = {
    "app": "logsvc",
    "viewer": "在日志页面中打开",
    "download": "下载",
    "end": "以上是打开本页时的全部日志。",
    "end_live": "此后可能有新的日志写入，重新加载本页即可看到。",
    "big": "这份日志有 {size}。",
    "big_how": "浏览器在一个页面中显示它需要大量内存和时间，可能失去响应。",
    "big_viewer": "改为搜索整份日志",
    "big_download": "改为下载",
    "big_open": "仍然打开",
    "home": "全部作业",
    "unauthorized": "请先登录。",
    "unauthorized_how": "请打开服务启动时打印的链接，然后返回本页。",
    "forbidden": "您没有查看权限。",
    "forbidden_how": "当前登录的令牌不允许此操作。",
    "not_found": "这里没有内容。",
    "not_found_how": "日志可能已过期（只在作业结束后保留一段时间），或者链接不完整。",
    "expired": "日志已过期。",
    "expired_how": "作业结束后的保留期已过，日志已被删除。",
    "unavailable": "存储暂时没有响应。",
    "unavailable_how": "通常很快恢复，请重新加载本页；若未恢复，请联系服务管理员。",
    "other": "操作没有成功。",
    "other_how": "服务的答复：",
}

LANGUAGES: Mapping[str, Mapping[str, str]] = {"en": EN, "zh-CN": ZH_CN}


def language(accepted: str, chosen: str | None = None) -> str:
    """
    The language to answer in.

    Args:
        accepted: an Accept-Language header; its order counts, as browsers send it.
        chosen: what the reader chose in the viewer.
    """
    if chosen is not None and chosen in LANGUAGES:
        return chosen
    for part in accepted.lower().split(","):
        tag = part.strip().partition(";")[0]
        if tag.startswith("zh"):
            return "zh-CN"
        if tag.startswith("en"):
            return "en"
    return "en"
