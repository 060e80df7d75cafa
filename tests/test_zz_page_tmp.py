def test_time(trained, tmp_path):
    import time
    from laennec.conversion import export
    from conftest import LOOSE
    t=time.time(); b=export(trained,"onnxruntime",out=tmp_path/"x",limits=LOOSE); print("export",time.time()-t, b.card.auxiliary)
