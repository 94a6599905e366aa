"""The bundled sample papers."""

from feedsrv.upstream.demo import load_sample_papers


def test_the_sample_papers_cover_ten_list_days_and_have_no_arxiv_ids() -> None:
    papers = load_sample_papers()
    assert len(papers) >= 40
    assert {paper["day"] for paper in papers} == set(range(10))
    assert all(paper["id"].startswith("sample-") for paper in papers)
    assert len({paper["id"] for paper in papers}) == len(papers)
